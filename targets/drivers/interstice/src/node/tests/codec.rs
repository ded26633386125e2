//! Packets as bytes.

use proptest::prelude::*;

use super::super::packets::{Cell, Event, Kind, Received, Row, Sent, Subscription, Value};
use super::super::packets::{decode, encode};

fn cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        Just(Cell::Void),
        any::<u8>().prop_map(Cell::U8),
        any::<u32>().prop_map(Cell::U32),
        any::<u64>().prop_map(Cell::U64),
        any::<i32>().prop_map(Cell::I32),
        any::<i64>().prop_map(Cell::I64),
        (-1e9_f32..1e9).prop_map(Cell::F32),
        (-1e9_f64..1e9).prop_map(Cell::F64),
        any::<bool>().prop_map(Cell::Bool),
        ".{0,20}".prop_map(Cell::String),
    ]
}

fn row() -> impl Strategy<Value = Row> {
    (cell(), prop::collection::vec(cell(), 0..4)).prop_map(|(key, fields)| Row { key, fields })
}

/// Every kind that is read whole.
fn heard() -> impl Strategy<Value = Received> {
    let name = || "[a-z]{0,9}";
    prop_oneof![
        (name(), name(), name()).prop_map(|(node_id, address, token)| Received::Handshake {
            node_id,
            address,
            token
        }),
        Just(Received::Close),
        (name(), cell())
            .prop_map(|(request_id, result)| Received::QueryResponse { request_id, result }),
        (name(), name(), prop::collection::vec(row(), 0..5)).prop_map(|(module, table, rows)| {
            Received::TableSyncResponse {
                module,
                table,
                rows,
            }
        }),
        (name(), name(), row()).prop_map(|(module, table, row)| Received::TableEvent(
            Event::Insert { module, table, row }
        )),
        (name(), name(), row(), row()).prop_map(|(module, table, old, new)| Received::TableEvent(
            Event::Update {
                module,
                table,
                old,
                new
            }
        )),
        (name(), name(), row()).prop_map(|(module, table, row)| Received::TableEvent(
            Event::Delete { module, table, row }
        )),
        ".{0,20}".prop_map(Received::Error),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Void),
        any::<u64>().prop_map(Value::U64),
        any::<bool>().prop_map(Value::Bool),
        ".{0,20}".prop_map(Value::String),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Vec),
            prop::option::of(inner.clone()).prop_map(|one| Value::Option(one.map(Box::new))),
            prop::collection::vec(inner, 0..4).prop_map(Value::Tuple),
        ]
    })
}

proptest! {
    #[test]
    fn what_the_node_says_is_heard(packet in heard()) {
        let bytes = postcard::to_stdvec(&packet).unwrap();
        prop_assert_eq!(decode(&bytes), Ok(packet));
        for cut in 0..bytes.len() {
            prop_assert!(decode(&bytes[..cut]).is_err(), "cut to {}", cut);
        }
        prop_assert!(decode(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn any_bytes_are_a_packet_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(decode(&bytes));
    }

    #[test]
    fn a_call_is_what_it_was(input in value(), module in "[a-z]{0,9}") {
        let call = Sent::ReducerCall { module, reducer: "apply".into(), input };
        let bytes = encode(&call).unwrap();
        prop_assert_eq!(bytes[..4].to_vec(), ((bytes.len() - 4) as u32).to_be_bytes());
        prop_assert_eq!(postcard::from_bytes::<Sent>(&bytes[4..]), Ok(call));
    }
}

/// The bytes by the rules of postcard and the order in the node's sources, written by hand.
#[test]
fn packets_are_the_bytes_that_the_node_reads() {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let said = |packet: &Sent| encode(packet).unwrap()[4..].to_vec();
    assert_eq!(
        said(&Sent::Handshake {
            node_id: "n".into(),
            address: "a".into(),
            token: "t".into()
        }),
        [vec![0], text("n"), text("a"), text("t")].concat()
    );
    assert_eq!(
        said(&Sent::ReducerCall {
            module: "m".into(),
            reducer: "r".into(),
            input: Value::Vec(vec![
                Value::String("k".into()),
                Value::U64(300),
                Value::Bool(true),
                Value::Tuple(vec![Value::Option(None), Value::Void]),
                Value::Option(Some(Box::new(Value::Void))),
            ])
        }),
        [
            vec![2],
            text("m"),
            text("r"),
            vec![10, 5, 9],
            text("k"),
            vec![3, 0xac, 2, 8, 1, 12, 2, 11, 0, 0, 11, 1, 0]
        ]
        .concat()
    );
    assert_eq!(
        said(&Sent::QueryCall {
            request_id: "1".into(),
            module: "m".into(),
            query: "q".into(),
            input: Value::Vec(vec![])
        }),
        [vec![3], text("1"), text("m"), text("q"), vec![10, 0]].concat()
    );
    for (event, number) in [(Kind::Insert, 0), (Kind::Update, 1), (Kind::Delete, 2)] {
        let subscription = Subscription {
            module: "m".into(),
            table: "t".into(),
            event,
        };
        assert_eq!(
            said(&Sent::RequestSubscription(subscription)),
            [vec![5], text("m"), text("t"), vec![number]].concat()
        );
    }
    assert_eq!(
        said(&Sent::RequestTableSync {
            module: "m".into(),
            table: "t".into()
        }),
        [vec![7], text("m"), text("t")].concat()
    );
    assert_eq!(
        said(&Sent::SchemaRequest {
            request_id: "1".into(),
            node_name: "n".into()
        }),
        [vec![11], text("1"), text("n")].concat()
    );
}

/// A schema is not read, however long it is; only the question that it answers.
#[test]
fn a_schema_is_passed_over() {
    let bytes = [&[12, 1, b'7'][..], &[0xff; 99]].concat();
    let request_id = "7".to_owned();
    assert_eq!(decode(&bytes), Ok(Received::SchemaResponse { request_id }));
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().collect();
    let byte = |two: &[char]| u8::from_str_radix(&two.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// What a node sent, built from the sources of interstice-core 0.5.0 and running `module.c`.
#[test]
fn what_a_real_node_sent_is_understood() {
    let uuid = "706c7567-7075-4c6c-8000-000000000007";
    let text = |text: &str| Cell::String(text.into());
    let mark = |number| Row {
        key: text(uuid),
        fields: vec![Cell::U64(number)],
    };
    let (module, table) = ("plugpull".to_owned(), "acks".to_owned());
    let hex_uuid = "092437303663373536372d373037352d346336632d383030302d303030303030303030303037";
    for (hex, heard) in [
        (
            "002466393332313462312d636466612d346536322d383636332d3266633036376330303035650f3132\
             372e302e302e313a31383038302466633161366534362d396536632d346161392d393130312d3466386437\
             66356461373031",
            Received::Handshake {
                node_id: "f93214b1-cdfa-4e62-8663-2fc067c0005e".into(),
                address: "127.0.0.1:18080".into(),
                token: "fc1a6e46-9e6c-4aa9-9101-4f8d7f5da701".into(),
            },
        ),
        (
            &format!("090008706c756770756c6c0461636b73{hex_uuid}010301"),
            Received::TableEvent(Event::Insert {
                module: module.clone(),
                table: table.clone(),
                row: mark(1),
            }),
        ),
        (
            &format!("090108706c756770756c6c0461636b73{hex_uuid}010301{hex_uuid}010302"),
            Received::TableEvent(Event::Update {
                module: module.clone(),
                table,
                old: mark(1),
                new: mark(2),
            }),
        ),
        (
            "0808706c756770756c6c04726f777302090563302e6b310109057468726565090563302e6b3201\
             0904666f7572",
            Received::TableSyncResponse {
                module: module.clone(),
                table: "rows".into(),
                rows: [("c0.k1", "three"), ("c0.k2", "four")]
                    .map(|(key, value)| Row {
                        key: text(key),
                        fields: vec![text(value)],
                    })
                    .to_vec(),
            },
        ),
        (
            "04013909057468726565",
            Received::QueryResponse {
                request_id: "9".into(),
                result: text("three"),
            },
        ),
        (
            "0402313000",
            Received::QueryResponse {
                request_id: "10".into(),
                result: Cell::Void,
            },
        ),
        (
            "0d2b7461626c6520276e6f706527206e6f7420666f756e6420696e206d6f64756c652027706c756770\
             756c6c27",
            Received::Error("table 'nope' not found in module 'plugpull'".into()),
        ),
        // The beginning of the schema.
        (
            "0c013108706c756770756c6c0f3132372e302e302e313a31383038300106",
            Received::SchemaResponse {
                request_id: "1".into(),
            },
        ),
    ] {
        assert_eq!(decode(&bytes(hex)), Ok(heard), "{hex}");
    }
}
