// Package node makes the libp2p hosts that the peers of the interop tests run on.
package node

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
)

// Config says how a host listens and secures its connections.
type Config struct {
	Listen   string
	Security string
	KeySeed  int64
	SwarmKey string
}

// Flags registers the flags that every peer has.
func (c *Config) Flags() {
	flag.StringVar(&c.Listen, "listen", "", "`multiaddr` to listen on")
	flag.StringVar(&c.Security, "security", "both", "noise, tls or both (TLS preferred)")
	flag.Int64Var(&c.KeySeed, "key-seed", 0, "seed of the Ed25519 key; 0 makes a random one")
	flag.StringVar(&c.SwarmKey, "swarm-key", "", "`file` with the key of a private network")
}

// New starts a host: TCP only, yamux as go-libp2p sets it up, no resource limits.
func (c Config) New() (host.Host, error) {
	options := []libp2p.Option{
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.ResourceManager(&network.NullResourceManager{}),
		libp2p.DisableRelay(),
		libp2p.DisableMetrics(),
	}
	if c.Listen == "" {
		options = append(options, libp2p.NoListenAddrs)
	} else {
		options = append(options, libp2p.ListenAddrStrings(c.Listen))
	}
	switch c.Security {
	case "noise":
		options = append(options, libp2p.Security(noise.ID, noise.New))
	case "tls":
		options = append(options, libp2p.Security(libp2ptls.ID, libp2ptls.New))
	case "both":
		options = append(options, libp2p.Security(libp2ptls.ID, libp2ptls.New),
			libp2p.Security(noise.ID, noise.New))
	default:
		return nil, fmt.Errorf("unknown security %q", c.Security)
	}
	if c.KeySeed != 0 {
		key, err := seededKey(c.KeySeed)
		if err != nil {
			return nil, err
		}
		options = append(options, libp2p.Identity(key))
	}
	if c.SwarmKey != "" {
		psk, err := readSwarmKey(c.SwarmKey)
		if err != nil {
			return nil, err
		}
		options = append(options, libp2p.PrivateNetwork(psk))
	}
	return libp2p.New(options...)
}

func readSwarmKey(path string) (pnet.PSK, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return pnet.DecodeV1PSK(file)
}

func seededKey(seed int64) (crypto.PrivKey, error) {
	var raw [8]byte
	binary.BigEndian.PutUint64(raw[:], uint64(seed))
	digest := sha256.Sum256(raw[:])
	return crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(digest[:]))
}

// Addrs returns the host's multiaddrs with its peer id appended.
func Addrs(h host.Host) ([]string, error) {
	full, err := peer.AddrInfoToP2pAddrs(&peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()})
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(full))
	for i, addr := range full {
		texts[i] = addr.String()
	}
	return texts, nil
}

// CPUSeconds is the processor time, user and system, that this process has used.
func CPUSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	total := time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	return total.Seconds()
}
