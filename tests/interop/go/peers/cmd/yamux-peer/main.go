// Command yamux-peer is one go-yamux session over plain TCP: no security, no multistream.
//
// It listens and is the yamux server, or dials with -dial and is the client. It takes commands as
// package jsonlines describes; the first line it prints is {"addr": HOST:PORT}, its own address.
// It ends with its standard input.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"

	"py-libp2p-interop/peers/internal/jsonlines"

	"github.com/libp2p/go-yamux/v5"
)

func main() {
	config := yamux.DefaultConfig()
	dial := flag.String("dial", "", "`address` to dial: be the client")
	first, most := uint(config.InitialStreamWindowSize), uint(config.MaxStreamWindowSize)
	flag.UintVar(&first, "window", first, "a stream's first receive window")
	flag.UintVar(&most, "max-window", most, "what it may grow to")
	flag.DurationVar(&config.KeepAliveInterval, "keepalive", config.KeepAliveInterval,
		"how long all may be quiet before a ping")
	flag.Parse()
	config.InitialStreamWindowSize, config.MaxStreamWindowSize = uint32(first), uint32(most)
	if err := run(*dial, config); err != nil {
		fmt.Fprintln(os.Stderr, "yamux-peer:", err)
		os.Exit(1)
	}
}

func run(dial string, config *yamux.Config) error {
	p := newPeer()
	var own net.Addr
	if dial == "" {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		own = listener.Addr()
		go func() {
			conn, err := listener.Accept()
			if err == nil {
				err = p.start(yamux.Server(conn, config, nil))
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, "yamux-peer:", err)
			}
		}()
	} else {
		conn, err := net.Dial("tcp", dial)
		if err != nil {
			return err
		}
		own = conn.LocalAddr()
		if err := p.start(yamux.Client(conn, config, nil)); err != nil {
			return err
		}
	}
	hello := jsonlines.Answer{"addr": own.String()}
	return jsonlines.Serve(context.Background(), hello, p.do)
}
