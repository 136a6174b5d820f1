//! What only shows over a real connection.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::common::{self, Ground, POD, TOKEN};

/// A gateway on loopback, and a connection to it.
async fn connected(ground: &Ground) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = ground.router();
    tokio::spawn(async { axum::serve(listener, router).await });
    TcpStream::connect(address).await.unwrap()
}

/// What comes back for a body that is sent to its last byte, whatever is answered meanwhile.
async fn answer(ground: &Ground, bytes: usize) -> String {
    let mut stream = connected(ground).await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {TOKEN}\r\n\
         content-length: {bytes}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; bytes]).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn a_refusal_is_read_by_who_is_still_sending() {
    let ground = Ground::new("openai/m").await;
    let long = answer(&ground, 20 << 20).await;
    assert!(long.starts_with("HTTP/1.1 413 ") && long.contains("Refused"), "{long}");
    let mut pod = common::pod("openai/m");
    pod.status.as_mut().unwrap().phase = Some("Failed".to_owned());
    let ground = Ground::new("openai/m").await;
    ground.api.seed(&pod);
    let strange = answer(&ground, 7 << 20).await;
    assert!(strange.starts_with("HTTP/1.1 400 ") && strange.contains(POD), "{strange}");
}
