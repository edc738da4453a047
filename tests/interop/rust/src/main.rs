//! A peer of beetswap on rust-libp2p, its blocks in memory.
//!
//! It reads commands as JSON lines on standard input and answers each with one JSON line that
//! carries the command's "id", in the order in which they are done. The first line it prints is
//! {"id": PEER ID, "addrs": [...]}. It ends with its standard input.

mod block;
mod command;

use std::collections::HashMap;
use std::error::Error;
use std::io::BufRead;
use std::sync::Arc;
use std::time::Duration;

use blockstore::{Blockstore, InMemoryBlockstore};
use cid::Cid;
use command::{Command, Doing};
use libp2p::futures::StreamExt;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{ConnectionId, DialError, NetworkBehaviour, SwarmEvent, dial_opts::DialOpts};
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, identify, noise, tcp, yamux};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

type Store = InMemoryBlockstore<64>;
type Failure = Box<dyn Error>;

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    bitswap: beetswap::Behaviour<64, Store>,
}

/// What the loop waits for besides the network.
enum Input {
    Line(String),
    TimeOver(beetswap::QueryId),
    End,
}

struct Peer {
    swarm: Swarm<Behaviour>,
    store: Arc<Store>,
    input: UnboundedSender<Input>,
    dials: HashMap<ConnectionId, u64>,
    queries: HashMap<beetswap::QueryId, u64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let (sender, receiver) = unbounded_channel();
    let store = Arc::new(Store::new());
    let mut swarm = make_swarm(store.clone())?;
    let addr = listen(&mut swarm).await?;
    say(json!({"id": swarm.local_peer_id().to_string(), "addrs": [addr.to_string()]}));
    let lines = sender.clone();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let _ = lines.send(Input::Line(line));
        }
        let _ = lines.send(Input::End);
    });
    let mut peer = Peer {
        swarm,
        store,
        input: sender,
        dials: HashMap::new(),
        queries: HashMap::new(),
    };
    peer.run(receiver).await;
    Ok(())
}

fn make_swarm(store: Arc<Store>) -> Result<Swarm<Behaviour>, Failure> {
    Ok(SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default(),
            noise::Config::new,
            yamux::Config::default,
        )?
        .with_behaviour(|key| Behaviour {
            identify: identify::Behaviour::new(identify::Config::new(
                "ipfs/0.1.0".to_string(),
                key.public(),
            )),
            bitswap: beetswap::Behaviour::new(store),
        })?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(600)))
        .build())
}

/// Listen on loopback; the full address.
async fn listen(swarm: &mut Swarm<Behaviour>) -> Result<Multiaddr, Failure> {
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            return Ok(address.with(Protocol::P2p(*swarm.local_peer_id())));
        }
    }
}

fn say(value: Value) {
    println!("{value}");
}

fn answer(id: u64, result: Result<Value, Failure>) {
    let mut value = result.unwrap_or_else(|error| json!({"error": error.to_string()}));
    value["id"] = id.into();
    say(value);
}

impl Peer {
    async fn run(&mut self, mut input: UnboundedReceiver<Input>) {
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_event(event),
                Some(next) = input.recv() => match next {
                    Input::Line(line) => self.on_line(&line).await,
                    Input::TimeOver(query) => self.on_time_over(query),
                    Input::End => return,
                },
            }
        }
    }

    async fn on_line(&mut self, line: &str) {
        match serde_json::from_str::<Command>(line) {
            Err(error) => say(json!({"error": format!("not a command: {error}")})),
            Ok(Command { id, doing }) => match self.start(id, doing).await {
                Ok(None) => (),
                Ok(Some(value)) => answer(id, Ok(value)),
                Err(error) => answer(id, Err(error)),
            },
        }
    }

    /// Carry out a command; what it answers, unless that comes later.
    async fn start(&mut self, id: u64, doing: Doing) -> Result<Option<Value>, Failure> {
        match doing {
            Doing::Connect { addr } => {
                let dial = DialOpts::from(addr.parse::<Multiaddr>()?);
                self.dials.insert(dial.connection_id(), id);
                if let Err(error) = self.swarm.dial(dial) {
                    self.dials.retain(|_, waiting| *waiting != id);
                    return Err(error.into());
                }
                Ok(None)
            }
            Doing::Disconnect { peer } => {
                let _ = self.swarm.disconnect_peer_id(peer.parse::<PeerId>()?);
                Ok(Some(json!({})))
            }
            Doing::Add {
                data,
                codec,
                hash,
                version,
            } => {
                let data = block::decoded(&data)?;
                let cid = block::cid_of(&data, &codec, &hash, version)?;
                self.store.put_keyed(&cid, &data).await?;
                Ok(Some(json!({"cid": cid.to_string()})))
            }
            Doing::Get { cid, timeout } => {
                let cid = Cid::try_from(cid.as_str())?;
                let query = self.swarm.behaviour_mut().bitswap.get(&cid);
                self.queries.insert(query, id);
                let input = self.input.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs_f64(timeout)).await;
                    let _ = input.send(Input::TimeOver(query));
                });
                Ok(None)
            }
        }
    }

    fn on_time_over(&mut self, query: beetswap::QueryId) {
        if let Some(id) = self.queries.remove(&query) {
            self.swarm.behaviour_mut().bitswap.cancel(query);
            answer(id, Err("the deadline is over".into()));
        }
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                ..
            } => {
                if let Some(id) = self.dials.remove(&connection_id) {
                    answer(id, Ok(json!({"peer": peer_id.to_string()})));
                }
            }
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                error,
                ..
            } => {
                self.on_dial_error(connection_id, error);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Bitswap(event)) => self.on_bitswap(event),
            _ => (),
        }
    }

    fn on_dial_error(&mut self, connection: ConnectionId, error: DialError) {
        if let Some(id) = self.dials.remove(&connection) {
            answer(id, Err(error.into()));
        }
    }

    fn on_bitswap(&mut self, event: beetswap::Event) {
        let (query, result) = match event {
            beetswap::Event::GetQueryResponse { query_id, data } => {
                (query_id, Ok(block::described(&data)))
            }
            beetswap::Event::GetQueryError { query_id, error } => (query_id, Err(error.into())),
        };
        if let Some(id) = self.queries.remove(&query) {
            answer(id, result);
        }
    }
}
