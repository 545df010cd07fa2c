//! Typed access to a GGUF file; every error names the file and the key or tensor.

use anyhow::{Context, Result, bail, ensure};
use candle_core::{
    Device, Tensor,
    quantized::gguf_file::{Content, Value},
};
use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

pub(crate) struct Gguf {
    path: PathBuf,
    file: BufReader<File>,
    content: Content,
}

impl Gguf {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let mut file = BufReader::new(file);
        let content =
            Content::read(&mut file).with_context(|| format!("{} is not a usable GGUF file", path.display()))?;
        Ok(Gguf { path: path.to_owned(), file, content })
    }

    fn value(&self, key: &str) -> Result<&Value> {
        self.content
            .metadata
            .get(key)
            .with_context(|| format!("{} has no key {key}: is it the GGUF of SmolLM2?", self.path.display()))
    }

    fn wrong_type(&self, key: &str) -> String {
        format!("{}: the key {key} holds a value of another type", self.path.display())
    }

    pub(crate) fn text(&self, key: &str) -> Result<&str> {
        Ok(self.value(key)?.to_string().with_context(|| self.wrong_type(key))?)
    }

    /// A number from 1 to `max`.
    pub(crate) fn size(&self, key: &str, max: u32) -> Result<usize> {
        let value = self.value(key)?.to_u32().with_context(|| self.wrong_type(key))?;
        ensure!((1..=max).contains(&value), "{}: {key} is {value}, not 1 to {max}", self.path.display());
        Ok(value as usize)
    }

    /// The id of a token, below `vocab_size`.
    pub(crate) fn token_id(&self, key: &str, vocab_size: usize) -> Result<u32> {
        let id = self.value(key)?.to_u32().with_context(|| self.wrong_type(key))?;
        ensure!((id as usize) < vocab_size, "{}: {key} is {id}, beyond {vocab_size} tokens", self.path.display());
        Ok(id)
    }

    /// A positive number, as the shortest decimal that stands for it.
    pub(crate) fn positive(&self, key: &str) -> Result<f64> {
        let value = self.value(key)?.to_f32().with_context(|| self.wrong_type(key))?;
        ensure!(value.is_finite() && value > 0.0, "{}: {key} is {value}, not above zero", self.path.display());
        Ok(value.to_string().parse()?)
    }

    pub(crate) fn texts(&self, key: &str) -> Result<Vec<&str>> {
        let values = self.value(key)?.to_vec().with_context(|| self.wrong_type(key))?;
        values
            .iter()
            .map(|value| value.to_string().map(String::as_str))
            .collect::<Result<_, _>>()
            .with_context(|| self.wrong_type(key))
    }

    pub(crate) fn integers(&self, key: &str) -> Result<Vec<i64>> {
        let values = self.value(key)?.to_vec().with_context(|| self.wrong_type(key))?;
        values
            .iter()
            .map(|value| match value {
                Value::U32(value) => Ok(i64::from(*value)),
                Value::I32(value) => Ok(i64::from(*value)),
                _ => bail!(self.wrong_type(key)),
            })
            .collect()
    }

    pub(crate) fn has_tensor(&self, name: &str) -> bool {
        self.content.tensor_infos.contains_key(name)
    }

    /// A tensor in f32, which must have this shape.
    pub(crate) fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let info = self
            .content
            .tensor_infos
            .get(name)
            .with_context(|| format!("{} has no tensor {name}", self.path.display()))?;
        ensure!(
            info.shape.dims() == shape,
            "{}: the tensor {name} has the shape {:?}, the configuration needs {shape:?}",
            self.path.display(),
            info.shape.dims()
        );
        let tensor =
            self.content.tensor(&mut self.file, name, &Device::Cpu).and_then(|tensor| tensor.dequantize(&Device::Cpu));
        tensor.with_context(|| format!("{}: cannot read the tensor {name}", self.path.display()))
    }
}
