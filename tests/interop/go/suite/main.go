// Command suite-peer is a go-libp2p program that follows the contract of libp2p's unified-testing
// suite. Its argument is the suite, transport or perf; the environment says everything else.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/redis/go-redis/v9"
)

// suite is what the two suites do differently.
type suite interface {
	serve(h host.Host)
	publish(ctx context.Context, db *redis.Client, key, addr string) error
	find(ctx context.Context, db *redis.Client, key string) (string, error)
	measure(ctx context.Context, h host.Host, to peer.AddrInfo) error
}

var suites = map[string]suite{"transport": transport{}, "perf": perf{}}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "suite-peer:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 || suites[os.Args[1]] == nil {
		return fmt.Errorf("the argument is transport or perf")
	}
	chosen := suites[os.Args[1]]
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	db := redis.NewClient(&redis.Options{Addr: os.Getenv("REDIS_ADDR")})
	defer db.Close()
	key := os.Getenv("TEST_KEY") + "_listener_multiaddr"
	h, err := newHost()
	if err != nil {
		return err
	}
	defer h.Close()
	if os.Getenv("IS_DIALER") == "true" {
		addr, err := chosen.find(ctx, db, key)
		if err != nil {
			return err
		}
		info, err := peer.AddrInfoFromString(addr)
		if err != nil {
			return err
		}
		return chosen.measure(ctx, h, *info)
	}
	chosen.serve(h)
	addr := fmt.Sprintf("%s/p2p/%s", farthest(h.Addrs()), h.ID())
	if err := chosen.publish(ctx, db, key, addr); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// newHost has what the environment names, and nothing else to choose from.
func newHost() (host.Host, error) {
	if t, m := os.Getenv("TRANSPORT"), os.Getenv("MUXER"); t != "tcp" || m != "yamux" {
		return nil, fmt.Errorf("tcp and yamux are known, not %q and %q", t, m)
	}
	options := []libp2p.Option{
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Muxer(yamux.ID, yamux.DefaultTransport),
		libp2p.DisableRelay(),
		libp2p.DisableMetrics(),
	}
	switch security := os.Getenv("SECURE_CHANNEL"); security {
	case "noise":
		options = append(options, libp2p.Security(noise.ID, noise.New))
	case "tls":
		options = append(options, libp2p.Security(libp2ptls.ID, libp2ptls.New))
	default:
		return nil, fmt.Errorf("noise and tls are known, not %q", security)
	}
	if os.Getenv("IS_DIALER") == "true" {
		options = append(options, libp2p.NoListenAddrs)
	} else {
		listen := fmt.Sprintf("/ip4/%s/tcp/0", os.Getenv("LISTENER_IP"))
		options = append(options, libp2p.ListenAddrStrings(listen))
	}
	return libp2p.New(options...)
}

// farthest is an address that is not of loopback, if there is one.
func farthest(addrs []multiaddr.Multiaddr) multiaddr.Multiaddr {
	for _, addr := range addrs {
		if !manet.IsIPLoopback(addr) {
			return addr
		}
	}
	return addrs[0]
}

// number reads a count from the environment.
func number(name string) (int, error) {
	value, err := strconv.Atoi(os.Getenv(name))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return value, nil
}

func milliseconds(d time.Duration) float64 {
	return d.Seconds() * 1000
}
