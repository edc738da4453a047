"""The Kademlia DHT of libp2p: ``/ipfs/kad/1.0.0``."""
