package main

import (
	"fmt"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
)

const (
	pushProtocol   protocol.ID = "/push/1.0.0"
	pushedProtocol protocol.ID = "/pushed/1.0.0"
)

// setPushHandler lets a stream make the host speak one protocol more, which identify pushes.
func setPushHandler(h host.Host) {
	h.SetStreamHandler(pushProtocol, func(s network.Stream) {
		h.SetStreamHandler(pushedProtocol, closing(echo))
		s.Close()
	})
}

// tellPushes prints each protocol that a peer speaks since it was identified.
func tellPushes(h host.Host) error {
	pushes, err := h.EventBus().Subscribe(new(event.EvtPeerProtocolsUpdated))
	if err != nil {
		return err
	}
	go func() {
		for pushed := range pushes.Out() {
			for _, added := range pushed.(event.EvtPeerProtocolsUpdated).Added {
				fmt.Println("pushed", added)
			}
		}
	}()
	return nil
}
