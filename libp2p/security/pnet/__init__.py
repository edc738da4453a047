"""
Private networks: hosts that share a key of 32 bytes talk to each other and to nobody else.

All bytes of a connection are encrypted with the key before anything else happens, so a host
without it cannot even agree on a protocol. This comes below Noise or TLS, which go on to prove who
the peer is. Spec: libp2p/specs ``pnet/Private-Networks-PSK-V1.md``.
"""
