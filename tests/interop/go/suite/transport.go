package main

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/redis/go-redis/v9"
)

// transport connects and pings twice. Its listener's address is the one element of a list.
type transport struct{}

func (transport) serve(host.Host) {} // go-libp2p answers pings

func (transport) publish(ctx context.Context, db *redis.Client, key, addr string) error {
	if err := db.Del(ctx, key).Err(); err != nil {
		return err
	}
	return db.RPush(ctx, key, addr).Err()
}

func (transport) find(ctx context.Context, db *redis.Client, key string) (string, error) {
	found, err := db.BLPop(ctx, time.Minute, key).Result()
	if err != nil {
		return "", err
	}
	return found[1], nil
}

func (transport) measure(ctx context.Context, h host.Host, to peer.AddrInfo) error {
	start := time.Now()
	if err := h.Connect(ctx, to); err != nil {
		return err
	}
	results := ping.Ping(ctx, h, to.ID)
	first := <-results
	handshake := time.Since(start)
	second := <-results
	for _, each := range []ping.Result{first, second} {
		if each.Error != nil {
			return each.Error
		}
	}
	fmt.Println("latency:")
	fmt.Printf("  handshake_plus_one_rtt: %.3f\n", milliseconds(handshake))
	fmt.Printf("  ping_rtt: %.3f\n", milliseconds(second.RTT))
	fmt.Println("  unit: ms")
	return nil
}
