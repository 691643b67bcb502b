//! Looks through a model before the library sees it, by its protobuf wire format.
//!
//! Finds operators whose result is not a function of the input, and tensors whose bytes lie in
//! another file, in every graph, subgraph and function. It reads more than the library would (all
//! occurrences of a field, not the last), so it can refuse too much, never too little. Field
//! numbers are those of `onnx.proto`, which never change.

/// Nested graphs and attributes beyond this are refused; real models have a handful.
const DEPTH_MAX: u32 = 64;

#[derive(Debug, PartialEq)]
pub(super) enum Fault {
    Malformed(&'static str),
    Refused(String),
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// The messages of the format that lead to an operator or to a tensor.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Function,
    Node,
    Attribute,
    SparseTensor,
    Tensor,
}

impl Message {
    fn child(self, field: u64) -> Option<Message> {
        Some(match (self, field) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) => Self::Tensor,
            (Self::SparseTensor, 1 | 2) => Self::Tensor,
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::SparseTensor,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            _ => return None,
        })
    }
}

/// Refuses a model that cannot be replayed from its bytes and inputs alone.
pub(super) fn model(bytes: &[u8]) -> Result<(), Fault> {
    let mut graphs = 0;
    walk(Message::Model, bytes, 0, &mut graphs)?;
    if graphs == 0 {
        return Err(Fault::Malformed("it holds no graph"));
    }
    Ok(())
}

fn walk(kind: Message, mut rest: &[u8], depth: u32, graphs: &mut u32) -> Result<(), Fault> {
    if depth > DEPTH_MAX {
        return Err(Fault::Malformed("its graphs are nested too deep"));
    }
    let (mut operator, mut inputs) = (None, 0);
    let mut third_input_named = false;
    while !rest.is_empty() {
        let (field, value) = entry(&mut rest)?;
        match (kind, field, value) {
            (Message::Node, 1, Value::Bytes(name)) => {
                inputs += 1;
                third_input_named |= inputs >= 3 && !name.is_empty();
            }
            (Message::Node, 4, Value::Bytes(name)) => {
                refuse_random(name)?;
                operator = Some(name);
            }
            // `data_location`: 0 is inside the file, 1 another file, no other number is defined.
            (Message::Tensor, 14, Value::Number(location)) if location != 0 => {
                let what = "weights in an external file, which its hash does not cover";
                return Err(Fault::Refused(what.to_owned()));
            }
            (_, _, Value::Bytes(bytes)) => {
                let Some(child) = kind.child(field) else { continue };
                *graphs += u32::from(matches!(kind, Message::Model) && field == 7);
                walk(child, bytes, depth + 1, graphs)?;
            }
            (_, _, _) => {}
        }
    }
    if operator == Some(b"Dropout") && third_input_named {
        // Input 3 is `training_mode`; whether it is false may be known only when it runs.
        return Err(Fault::Refused("a Dropout with a training mode".to_owned()));
    }
    Ok(())
}

/// Operators that draw random numbers, of any domain.
fn refuse_random(operator: &[u8]) -> Result<(), Fault> {
    const RANDOM: [&[u8]; 6] = [
        b"Bernoulli",
        b"Multinomial",
        b"Sampling",
        b"BiasDropout",
        b"BitmaskDropout",
        b"BitmaskBiasDropout",
    ];
    if operator.starts_with(b"Random") || RANDOM.contains(&operator) {
        let name = String::from_utf8_lossy(operator);
        return Err(Fault::Refused(format!("the random operator {name}")));
    }
    Ok(())
}

/// The next field and its value; `rest` moves behind it.
fn entry<'a>(rest: &mut &'a [u8]) -> Result<(u64, Value<'a>), Fault> {
    let key = varint(rest)?;
    let value = match key & 7 {
        0 => Value::Number(varint(rest)?),
        1 => take(rest, 8).map(|_| Value::Fixed)?,
        2 => {
            let len = varint(rest)?;
            Value::Bytes(take(rest, len)?)
        }
        5 => take(rest, 4).map(|_| Value::Fixed)?,
        _ => return Err(Fault::Malformed("it is not protobuf")),
    };
    if key > u64::from(u32::MAX) {
        return Err(Fault::Malformed("it is not protobuf"));
    }
    Ok((key >> 3, value))
}

fn take<'a>(rest: &mut &'a [u8], len: u64) -> Result<&'a [u8], Fault> {
    let split = usize::try_from(len).ok().and_then(|len| rest.split_at_checked(len));
    let (head, tail) = split.ok_or(Fault::Malformed("it ends within a field"))?;
    *rest = tail;
    Ok(head)
}

fn varint(rest: &mut &[u8]) -> Result<u64, Fault> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Fault::Malformed("a number in it is longer than 64 bits"))
}
