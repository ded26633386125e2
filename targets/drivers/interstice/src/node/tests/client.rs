//! What the client makes of a node's answers, right ones and wrong ones.

use std::time::{Duration, Instant};

use plugpull_workloads::{Op, Txn, Write};

use super::super::module::MODULE;
use super::super::packets::{Cell, Received, Sent, Subscription, Value};
use super::script::{Does, call, event, frame, later, open, row};
use plugpull_driver::{Client, ClientError};

fn txn(abort: bool) -> Txn {
    let op = |key: &str, write| Op {
        key: key.into(),
        write,
    };
    Txn {
        id: 1,
        client: 0,
        ops: vec![
            op("c0.k1", Write::Put("one".into())),
            op("c0.head", Write::Put("two".into())),
            op("c0.k1", Write::Delete),
        ],
        abort,
    }
}

/// What becomes of a transaction at a node that does this with calls.
fn outcome(
    abort: bool,
    mut does: impl FnMut(&str, u64, bool) -> Option<Does> + Send + 'static,
) -> Result<(), ClientError> {
    let mut client = open(move |said| {
        let (caller, number, writes) = call(said)?;
        does(&caller, number, writes)
    })?;
    client.apply(&txn(abort), later())
}

fn says(heard: Received) -> Option<Does> {
    Some(Does::Says(vec![heard]))
}

#[test]
fn the_event_of_the_call_is_the_ack() {
    let acked = outcome(false, |caller, number, _| says(event(caller, number, None)));
    assert_eq!(acked, Ok(()));
    let later_one = outcome(false, |caller, number, _| {
        says(event(caller, number, Some(17)))
    });
    assert_eq!(later_one, Ok(()));
}

#[test]
fn both_kinds_of_events_are_wanted_before_anything_is_called() {
    let mut wanted = Vec::new();
    let client = open(move |said| {
        match said {
            Sent::RequestSubscription(Subscription { event, .. }) => {
                wanted.push(format!("{event:?}"));
            }
            Sent::SchemaRequest { .. } => assert_eq!(wanted, ["Insert", "Update"]),
            _ => {}
        }
        None
    });
    assert!(client.is_ok());
}

#[test]
fn the_last_write_to_a_key_is_sent_alone_and_the_tables_are_two() {
    let mut client = open(|said| {
        let Sent::ReducerCall { input, .. } = said else {
            return None;
        };
        let Value::Vec(input) = input else {
            return Some(Does::Closes);
        };
        let text = |text: &str| Value::String(text.into());
        let put = Value::Option(Some(Box::new(text("two"))));
        let wanted = Value::Vec(vec![
            Value::Tuple(vec![text("heads"), text("c0.head"), put]),
            Value::Tuple(vec![text("rows"), text("c0.k1"), Value::Option(None)]),
        ]);
        let (caller, number, _) = call(said)?;
        match input[3] == wanted {
            true => says(event(&caller, number, None)),
            false => Some(Does::Closes),
        }
    })
    .unwrap();
    assert_eq!(client.apply(&txn(false), later()), Ok(()));
}

/// The node says nothing of a call that failed: the number that was there before is another one.
#[test]
fn a_call_that_failed_is_over_once_an_empty_one_was_applied() {
    let failed = outcome(false, |caller, number, writes| match writes {
        true => None,
        false => says(event(caller, number, Some(number - 2))),
    });
    assert!(matches!(failed, Err(ClientError::Info(_))), "{failed:?}");
    let first = outcome(false, |caller, number, writes| match writes {
        true => None,
        false => says(event(caller, number, None)),
    });
    assert!(matches!(first, Err(ClientError::Info(_))), "{first:?}");
}

#[test]
fn an_event_that_was_overtaken_is_still_the_ack() {
    let late = outcome(false, |caller, number, writes| match writes {
        true => None,
        false => Some(Does::Says(vec![
            event(caller, number, Some(number - 1)),
            event(caller, number - 1, None),
        ])),
    });
    assert_eq!(late, Ok(()));
}

/// It was applied, by what the empty call tells, and its event never comes: that is no ack.
#[test]
fn without_its_own_event_a_call_is_not_acknowledged() {
    let silent = outcome(false, |caller, number, writes| match writes {
        true => None,
        false => says(event(caller, number, Some(number - 1))),
    });
    assert!(matches!(silent, Err(ClientError::Info(_))), "{silent:?}");
}

#[test]
fn what_is_rolled_back_leaves_no_number() {
    let back = outcome(true, |caller, number, writes| match writes {
        true => None,
        false => says(event(caller, number, None)),
    });
    assert_eq!(back, Ok(()));
    let kept = outcome(true, |caller, number, writes| match writes {
        true => says(event(caller, number, None)),
        false => says(event(caller, number, Some(number - 1))),
    });
    assert!(matches!(kept, Err(ClientError::Info(_))), "{kept:?}");
}

#[test]
fn events_of_others_are_no_acks() {
    let others = outcome(false, |caller, number, writes| match writes {
        true => says(event("somebody", number, None)),
        false => says(event(caller, number, None)),
    });
    assert!(matches!(others, Err(ClientError::Info(_))), "{others:?}");
}

#[test]
fn an_error_of_the_node_is_passed_on() {
    let error = || says(Received::Error("no such module".into()));
    let applied = outcome(false, move |_, _, _| error());
    assert_eq!(applied, Err(ClientError::Info("no such module".into())));
    let mut client = open(move |said| match said {
        Sent::RequestTableSync { .. } | Sent::QueryCall { .. } => error(),
        _ => None,
    })
    .unwrap();
    let refused = ClientError::Fail("no such module".into());
    assert_eq!(client.read_all(later()), Err(refused.clone()));
    assert_eq!(client.get("k", later()), Err(refused));
}

#[test]
fn a_node_that_hangs_is_given_up_at_the_deadline() {
    let mut client = open(|_| None).unwrap();
    let soon = || Instant::now() + Duration::from_millis(20);
    let gone = |answer: Result<(), ClientError>| matches!(answer, Err(ClientError::Gone(_)));
    assert!(gone(client.apply(&txn(false), soon())));
    assert!(gone(client.read_all(soon()).map(drop)));
    assert!(gone(client.get("k", soon()).map(drop)));
}

#[test]
fn what_is_no_packet_ends_the_connection() {
    // A kind that is not there, a row cut short, a byte too many, a value in a value, and a length
    // that nobody would send.
    let nested = [&[8, 1, b'm', 1, b't', 1][..], &[9, 1, b'k', 1, 10, 1, 9, 0]].concat();
    for bytes in [
        frame(&[99]),
        frame(&[8, 1, b'm', 4, b'r']),
        frame(&[13, 1, b'x', 0]),
        frame(&nested),
        vec![0xff; 8],
    ] {
        let words = format!("{bytes:?}");
        let mut client = open(move |said| match said {
            Sent::RequestTableSync { .. } => Some(Does::Sends(bytes.clone())),
            _ => None,
        })
        .unwrap();
        let read = client.read_all(later());
        assert!(
            matches!(read, Err(ClientError::Gone(_))),
            "{words}: {read:?}"
        );
    }
}

/// The node ends a second connection of one name after its handshake.
#[test]
fn a_connection_that_the_node_drops_is_not_open() {
    let dropped = open(|said| match said {
        Sent::SchemaRequest { .. } => Some(Does::Closes),
        _ => None,
    });
    assert!(matches!(dropped.err(), Some(ClientError::Gone(_))));
}

/// All rows of two tables; `of_rows` are those of the first.
fn read(of_rows: Vec<super::super::packets::Row>) -> Result<Vec<(String, String)>, ClientError> {
    let mut client = open(move |said| {
        let Sent::RequestTableSync { table, .. } = said else {
            return None;
        };
        let rows = match table.as_str() {
            "rows" => of_rows.clone(),
            _ => vec![row("c0.head", Cell::String("h".into()))],
        };
        // An event in between is not what was asked for.
        Some(Does::Says(vec![
            event("somebody", 4, None),
            Received::TableSyncResponse {
                module: MODULE.into(),
                table: table.clone(),
                rows,
            },
        ]))
    })
    .unwrap();
    client
        .read_all(later())
        .map(|all| all.into_iter().collect())
}

#[test]
fn the_rows_of_both_tables_are_read() {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(
        read(vec![row("c0.k2", Cell::String("v".into()))]).unwrap(),
        [pair("c0.head", "h"), pair("c0.k2", "v")]
    );
    for (rows, said) in [
        (
            vec![
                row("k", Cell::String("1".into())),
                row("k", Cell::String("2".into())),
            ],
            "two rows of the key k",
        ),
        (
            vec![row("c1.head", Cell::String("1".into()))],
            "has a row of the key c1.head",
        ),
        (vec![row("k", Cell::U64(1))], "is not a key and a value"),
    ] {
        match read(rows) {
            Err(ClientError::Fail(why)) => assert!(why.contains(said), "{why}"),
            other => panic!("{said}: {other:?}"),
        }
    }
}

#[test]
fn one_row_is_asked_for_by_a_query() {
    let answer = |result: Cell| {
        let mut client = open(move |said| match said {
            Sent::QueryCall { request_id, .. } => Some(Does::Says(vec![
                // The answer to another question.
                Received::QueryResponse {
                    request_id: "none".into(),
                    result: Cell::Void,
                },
                Received::QueryResponse {
                    request_id: request_id.clone(),
                    result: result.clone(),
                },
            ])),
            _ => None,
        })
        .unwrap();
        client.get("k", later())
    };
    assert_eq!(answer(Cell::String("v".into())), Ok(Some("v".into())));
    assert_eq!(answer(Cell::Void), Ok(None));
    assert!(matches!(answer(Cell::U8(1)), Err(ClientError::Fail(_))));
}
