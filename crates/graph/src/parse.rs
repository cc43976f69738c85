//! Reads the text form of a graph (see `print.rs`). `#` starts a comment; blank lines are skipped.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::{Builder, Error, Graph, NodeId, Op, Rotary, RotaryPairs, WeightId};

/// The graph that `text` describes. Every node obeys its own rules; call [`crate::verify()`] for the rules about the
/// graph as a whole.
pub fn parse_graph(text: &str) -> Result<Graph, Error> {
    let mut parser = Parser::default();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            parser.line(line).map_err(|what| Error::Parse { line: index + 1, what })?;
        }
    }
    let missing = || Error::Parse { line: text.lines().count() + 1, what: "expected `output %N` at the end".into() };
    Ok(parser.builder.finish_unverified(parser.output.ok_or_else(missing)?))
}

#[derive(Default)]
struct Parser {
    builder: Builder,
    weights: BTreeMap<String, WeightId>,
    rotaries: usize,
    nodes: u32,
    output: Option<NodeId>,
}

impl Parser {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if self.output.is_some() {
            return Err("nothing may follow the output".into());
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "weight" => self.weight(rest.trim()),
            "rotary" => self.rotary(rest.trim()),
            "output" => {
                let output = parse_node_id(rest.trim())?;
                if output.0 >= self.nodes {
                    return Err(format!("output {output} is not a node"));
                }
                self.output = Some(output);
                Ok(())
            }
            _ => self.node(line),
        }
    }

    fn weight(&mut self, rest: &str) -> Result<(), String> {
        let (name, shape) = rest.split_once(' ').ok_or("expected `weight NAME [N, K]`")?;
        let inner = shape.trim().strip_prefix('[').and_then(|shape| shape.strip_suffix(']'));
        let inner = inner.ok_or("expected a shape in brackets")?;
        let shape = inner.split(',').map(|n| parse_number("dimension", n.trim())).collect::<Result<Vec<_>, _>>()?;
        let id = self.builder.weight(name, &shape).map_err(|violation| violation.to_string())?;
        match self.weights.insert(name.to_owned(), id) {
            Some(_) => Err(format!("tensor {name} is declared twice")),
            None => Ok(()),
        }
    }

    fn rotary(&mut self, rest: &str) -> Result<(), String> {
        let mut words = Words::new(rest);
        let index: usize = parse_number("rotary index", words.positional("rotary index")?)?;
        if index != self.rotaries {
            return Err(format!("rotary {index}, expected {}", self.rotaries));
        }
        let pairs = match words.positional("pairing")? {
            "halves" => RotaryPairs::Halves,
            "adjacent" => RotaryPairs::Adjacent,
            other => return Err(format!("pairing `{other}`, expected halves or adjacent")),
        };
        let rotary_size = words.attribute("size")?;
        let mut frequencies = Vec::new();
        while let Some(word) = words.next_positional() {
            frequencies.push(parse_number("frequency", word)?);
        }
        words.finish()?;
        let found = self.builder.rotary(Rotary { pairs, rotary_size, frequencies });
        if found.map_err(|violation| violation.to_string())? != index {
            return Err(format!("rotary {index} equals an earlier one"));
        }
        self.rotaries += 1;
        Ok(())
    }

    fn node(&mut self, line: &str) -> Result<(), String> {
        let (id, rest) = line.split_once('=').ok_or("expected `weight`, `rotary`, `%N = op ...` or `output`")?;
        let id = parse_node_id(id.trim())?;
        if id.0 != self.nodes {
            return Err(format!("node {id}, expected %{}", self.nodes));
        }
        let mut words = Words::new(rest);
        let word = words.positional("operation")?;
        let inputs = words.inputs()?;
        let op = self.op(word, &mut words)?;
        words.finish()?;
        self.builder.add(op, &inputs).map_err(|violation| violation.to_string())?;
        self.nodes += 1;
        Ok(())
    }

    fn op(&self, word: &str, words: &mut Words<'_>) -> Result<Op, String> {
        Ok(match word {
            "embed" => Op::Embed { table: self.named(words.positional("tensor")?)?, factor: words.optional("factor")? },
            "matmul" => {
                let weight = self.named(words.positional("tensor")?)?;
                let bias = words.optional::<String>("bias")?;
                Op::MatMul { weight, bias: bias.map(|name| self.named(&name)).transpose()? }
            }
            "rms_norm" => Op::RmsNorm {
                weight: self.named(words.positional("tensor")?)?,
                group: words.attribute("group")?,
                eps: words.attribute("eps")?,
            },
            "rotary" => Op::Rotary { head_size: words.attribute("head_size")?, rotary: words.attribute("rotary")? },
            "attention" => Op::Attention {
                layer: words.attribute("layer")?,
                heads: words.attribute("heads")?,
                kv_heads: words.attribute("kv_heads")?,
                head_size: words.attribute("head_size")?,
                scale: words.attribute("scale")?,
                window: words.optional("window")?,
                soft_cap: words.optional("soft_cap")?,
            },
            "silu" => Op::Silu,
            "gelu" => Op::Gelu,
            "soft_cap" => Op::SoftCap { cap: words.attribute("cap")? },
            "add" => Op::Add,
            "mul" => Op::Mul,
            other => return Err(format!("unknown operation `{other}`")),
        })
    }

    fn named(&self, name: &str) -> Result<WeightId, String> {
        self.weights.get(name).copied().ok_or_else(|| format!("tensor {name} is not declared"))
    }
}

/// The words of a line: positional ones in order, and `key=value` attributes.
struct Words<'a> {
    positional: std::collections::VecDeque<&'a str>,
    attributes: Vec<(&'a str, &'a str)>,
}

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Self {
        let (attributes, positional): (Vec<_>, Vec<_>) = text.split_whitespace().partition(|word| word.contains('='));
        let attributes = attributes.into_iter().filter_map(|word| word.split_once('=')).collect();
        Self { positional: positional.into(), attributes }
    }

    fn next_positional(&mut self) -> Option<&'a str> {
        self.positional.pop_front()
    }

    fn positional(&mut self, what: &str) -> Result<&'a str, String> {
        self.next_positional().ok_or_else(|| format!("expected {what}"))
    }

    fn inputs(&mut self) -> Result<Vec<NodeId>, String> {
        let mut inputs = Vec::new();
        while self.positional.front().is_some_and(|word| word.starts_with('%')) {
            inputs.push(parse_node_id(self.positional("input")?)?);
        }
        Ok(inputs)
    }

    fn optional<T: FromStr>(&mut self, key: &str) -> Result<Option<T>, String> {
        match self.attributes.iter().position(|(name, _)| *name == key) {
            Some(at) => parse_number(key, self.attributes.remove(at).1).map(Some),
            None => Ok(None),
        }
    }

    fn attribute<T: FromStr>(&mut self, key: &str) -> Result<T, String> {
        self.optional(key)?.ok_or_else(|| format!("expected {key}=VALUE"))
    }

    fn finish(&self) -> Result<(), String> {
        match (self.positional.front(), self.attributes.first()) {
            (Some(word), _) => Err(format!("unexpected `{word}`")),
            (None, Some((key, value))) => Err(format!("unexpected `{key}={value}`")),
            (None, None) => Ok(()),
        }
    }
}

fn parse_number<T: FromStr>(what: &str, word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("{what}: cannot read `{word}`"))
}

fn parse_node_id(word: &str) -> Result<NodeId, String> {
    let number = word.strip_prefix('%').and_then(|number| number.parse().ok());
    number.map(NodeId).ok_or_else(|| format!("expected a node like %3, found `{word}`"))
}
