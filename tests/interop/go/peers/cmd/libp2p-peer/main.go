// Command libp2p-peer is a go-libp2p host for the interop tests and the bench. Without -dial
// it serves until it is told to stop; with -dial it runs one measurement and prints it.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"py-libp2p-interop/peers/internal/node"
)

func main() {
	var config node.Config
	var job job
	config.Flags()
	flag.StringVar(&job.addr, "dial", "", "full `multiaddr` to dial: run as client")
	flag.StringVar(&job.mode, "mode", "ping", "echo, sink, source, ping, connect, open or reset")
	flag.Int64Var(&job.bytes, "bytes", 1<<20, "how much echo, sink and source move in all")
	flag.IntVar(&job.writeSize, "write-size", 65536, "size of one write, and of one read")
	flag.IntVar(&job.count, "count", 10, "how many pings, connects or opens")
	flag.IntVar(&job.parallel, "parallel", 1, "streams at once, for all but ping and connect")
	flag.Uint64Var(&job.code, "code", 0, "error `code` of mode reset")
	flag.DurationVar(&job.timeout, "timeout", 0, "give up after this long; 0 is never")
	untilEOF := flag.Bool("until-eof", false, "as server, stop when standard input ends too")
	pushes := flag.Bool("tell-pushes", false, "as server, print the protocols that peers push")
	flag.Parse()
	var err error
	if job.addr == "" {
		err = serve(config, *untilEOF, *pushes)
	} else {
		err = job.run(config)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "libp2p-peer:", err)
		os.Exit(1)
	}
}

// serve listens, prints its addresses and waits for a signal, then says what it cost.
func serve(config node.Config, untilEOF, pushes bool) error {
	if config.Listen == "" {
		config.Listen = "/ip4/127.0.0.1/tcp/0"
	}
	h, err := config.New()
	if err != nil {
		return err
	}
	setHandlers(h)
	setPushHandler(h)
	if pushes {
		if err := tellPushes(h); err != nil {
			return err
		}
	}
	addrs, err := node.Addrs(h)
	if err != nil {
		return err
	}
	for _, addr := range addrs {
		fmt.Println(addr)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	if untilEOF {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			stop <- syscall.SIGTERM
		}()
	}
	<-stop
	cost := map[string]float64{"cpu_seconds": node.CPUSeconds()}
	if err := json.NewEncoder(os.Stderr).Encode(cost); err != nil {
		return err
	}
	return h.Close()
}
