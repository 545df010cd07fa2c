use std::ops::Range;
use std::path::Path;

use candle_core::{DType, Device, Tensor};

use crate::checkpoint::{ByteProgress, Checkpoint};
use crate::config::{LayerConfig, LayerType, ModelConfig};
use crate::error::{ModelError, Result};
use crate::head::OutputHead;
use crate::layers::attention::Attention;
use crate::layers::delta_net::DeltaNet;
use crate::layers::feed_forward::FeedForward;
use crate::layers::norm::RmsNorm;
use crate::layers::rotary::Rotary;
use crate::layers::{LayerCache, Pass};
use crate::loader::Loader;

/// Where a model runs and in what precision.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// The device.
    pub device: Device,
    /// F32, BF16 or F16. Norms, the recurrent state, the router and the logits are in f32 whatever this says.
    pub dtype: DType,
}

impl LoadOptions {
    /// On the CPU in f32, the precision of record.
    pub fn cpu_f32() -> Self {
        Self { device: Device::Cpu, dtype: DType::F32 }
    }
}

/// A causal language model.
///
/// See the [crate's documentation](crate) for an example.
pub struct CausalLm {
    config: ModelConfig,
    embedding: Tensor,
    layers: Vec<Layer>,
    norm: RmsNorm,
    head: OutputHead,
    rotary: Rotary,
    options: LoadOptions,
}

impl std::fmt::Debug for CausalLm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CausalLm").field("config", &self.config).field("options", &self.options).finish_non_exhaustive()
    }
}

struct Layer {
    input_norm: RmsNorm,
    mixer: Mixer,
    feed_forward_norm: RmsNorm,
    feed_forward: FeedForward,
}

enum Mixer {
    Attention(Attention),
    DeltaNet(DeltaNet),
}

/// The positions of one sequence whose final hidden states are wanted.
///
/// The state at position i is what the token at i + 1 is predicted from: for a continuation of n tokens after a prompt
/// of p tokens, ask for positions `p - 1 .. p - 1 + n`. Tokens after the last wanted position are not looked at.
#[derive(Debug, Clone)]
pub struct HiddenStatesRequest<'a> {
    /// The sequence.
    pub tokens: &'a [u32],
    /// The positions wanted, within the sequence.
    pub positions: Range<usize>,
}

impl CausalLm {
    /// Loads a model from a folder that holds `config.json` and safetensors weights. Nothing of the folder is run.
    ///
    /// # Errors
    ///
    /// The configuration or the weights cannot be read, are malformed, are of an architecture or dtype that is not
    /// supported, or contradict each other.
    pub fn load(folder: &Path, options: &LoadOptions) -> Result<Self> {
        Self::load_with_progress(folder, options, &mut |_| {})
    }

    /// [`load`](Self::load), telling after each tensor how much of the weights has been read.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_with_progress(
        folder: &Path,
        options: &LoadOptions,
        progress: &mut dyn FnMut(ByteProgress),
    ) -> Result<Self> {
        let config = ModelConfig::load(folder)?;
        let checkpoint = Checkpoint::open(folder, progress)?;
        let loader = Loader::new(&checkpoint, options.dtype, &options.device);
        let embedding = loader.load("embed_tokens.weight", &[config.vocab_size, config.hidden_size])?;
        let layers = config.layers.iter().enumerate();
        let layers = layers
            .map(|(index, layer)| Layer::load(&loader.part(&format!("layers.{index}")), &config, *layer))
            .collect::<Result<_>>()?;
        Ok(Self {
            layers,
            norm: RmsNorm::load(&loader, "norm", config.hidden_size, config.rms_norm_eps, config.zero_centred_norms)?,
            head: OutputHead::load_beside(&embedding, &checkpoint, &config, options)?,
            rotary: Rotary::new(&config.rotary),
            embedding,
            options: options.clone(),
            config,
        })
    }

    /// The model's sizes and constants.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The device it runs on.
    pub fn device(&self) -> &Device {
        &self.options.device
    }

    /// The dtype it computes in.
    pub fn dtype(&self) -> DType {
        self.options.dtype
    }

    /// The output head.
    pub fn head(&self) -> &OutputHead {
        &self.head
    }

    /// The output head, with all else dropped.
    pub fn into_head(self) -> OutputHead {
        self.head
    }

    /// Final hidden states, after the last norm, of some positions of each sequence: for each request one tensor
    /// `[positions, hidden_size]` in the model's dtype.
    ///
    /// All sequences run as one packed batch without padding. Memory grows with the sum of their lengths, which the
    /// caller has to bound.
    ///
    /// # Errors
    ///
    /// There is no request, one asks for no position or for one beyond its tokens, a token is not in the vocabulary, or
    /// the device fails.
    pub fn hidden_states(&self, requests: &[HiddenStatesRequest<'_>]) -> Result<Vec<Tensor>> {
        let mut sequences = Vec::with_capacity(requests.len());
        for (index, HiddenStatesRequest { tokens, positions }) in requests.iter().enumerate() {
            if positions.start >= positions.end || positions.end > tokens.len() {
                let message =
                    format!("request {index}: positions {positions:?} of a sequence of {} tokens", tokens.len());
                return Err(ModelError::InvalidRequest(message));
            }
            sequences.push(&tokens[..positions.end]);
        }
        let (x, segments) = self.embed_packed(&sequences)?;
        let positions = segments.iter().flat_map(|segment| 0..segment.len());
        let rotary = self.rotary.table(positions, self.dtype(), self.device())?;
        let x = self.run_layers(x, &Pass::Prefill { segments: &segments, rotary: &rotary, keep: None }, None)?;
        let wanted = |(segment, request): (&Range<usize>, &HiddenStatesRequest<'_>)| {
            self.norm.forward(&x.narrow(0, segment.start + request.positions.start, request.positions.len())?)
        };
        Ok(segments.iter().zip(requests).map(wanted).collect::<candle_core::Result<_>>()?)
    }

    /// The hidden states of one sequence between all layers: `num_layers + 1` tensors `[tokens, hidden_size]`, the first
    /// the embeddings, then each layer's output; the last is after the final norm, as in transformers.
    ///
    /// # Errors
    ///
    /// The sequence is empty, a token is not in the vocabulary, or the device fails.
    pub fn layer_hidden_states(&self, tokens: &[u32]) -> Result<Vec<Tensor>> {
        let (mut x, segments) = self.embed_packed(&[tokens])?;
        let rotary = self.rotary.table(0..tokens.len(), self.dtype(), self.device())?;
        let pass = Pass::Prefill { segments: &segments, rotary: &rotary, keep: None };
        let mut states = vec![x.clone()];
        for layer in &self.layers {
            x = layer.forward(&x, &pass, None)?;
            states.push(x.clone());
        }
        if let Some(last) = states.last_mut() {
            *last = self.norm.forward(&x)?;
        }
        Ok(states)
    }

    /// Embeds sequences one after the other: `[tokens, hidden]` and each sequence's rows.
    pub(crate) fn embed_packed(&self, sequences: &[&[u32]]) -> Result<(Tensor, Vec<Range<usize>>)> {
        let mut tokens = Vec::with_capacity(sequences.iter().map(|sequence| sequence.len()).sum());
        let mut segments = Vec::with_capacity(sequences.len());
        for (index, sequence) in sequences.iter().enumerate() {
            if sequence.is_empty() {
                return Err(ModelError::InvalidRequest(format!("sequence {index} is empty")));
            }
            let vocab_size = self.config.vocab_size;
            if let Some(position) = sequence.iter().position(|&token| token as usize >= vocab_size) {
                return Err(ModelError::TokenOutOfRange {
                    sequence: index,
                    position,
                    token: sequence[position],
                    vocab_size,
                });
            }
            segments.push(tokens.len()..tokens.len() + sequence.len());
            tokens.extend_from_slice(sequence);
        }
        if tokens.is_empty() {
            return Err(ModelError::InvalidRequest("no sequence was given".into()));
        }
        let count = tokens.len();
        let x = self.embedding.index_select(&Tensor::from_vec(tokens, count, self.device())?, 0)?;
        Ok((x, segments))
    }

    /// All layers, without the final norm.
    pub(crate) fn run_layers(
        &self,
        mut x: Tensor,
        pass: &Pass<'_>,
        mut caches: Option<&mut [LayerCache]>,
    ) -> Result<Tensor> {
        for (index, layer) in self.layers.iter().enumerate() {
            let cache = caches.as_mut().map(|caches| &mut caches[index]);
            x = layer.forward(&x, pass, cache)?;
        }
        Ok(x)
    }

    pub(crate) fn final_norm(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.norm.forward(x)?)
    }

    pub(crate) fn rotary(&self) -> &Rotary {
        &self.rotary
    }
}

impl Layer {
    fn load(loader: &Loader<'_>, model: &ModelConfig, config: LayerConfig) -> Result<Self> {
        let norm =
            |name: &str| RmsNorm::load(loader, name, model.hidden_size, model.rms_norm_eps, model.zero_centred_norms);
        let mixer = match (config.mixer, model.delta_net) {
            (LayerType::LinearAttention, Some(delta_net)) => {
                Mixer::DeltaNet(DeltaNet::load(&loader.part("linear_attn"), model, delta_net)?)
            }
            (mixer, _) => Mixer::Attention(Attention::load(&loader.part("self_attn"), model, mixer)?),
        };
        Ok(Self {
            input_norm: norm("input_layernorm")?,
            mixer,
            feed_forward_norm: norm("post_attention_layernorm")?,
            feed_forward: FeedForward::load(&loader.part("mlp"), model, config.feed_forward)?,
        })
    }

    fn forward(&self, x: &Tensor, pass: &Pass<'_>, cache: Option<&mut LayerCache>) -> candle_core::Result<Tensor> {
        let normed = self.input_norm.forward(x)?;
        let mixed = match &self.mixer {
            Mixer::Attention(attention) => attention.forward(&normed, pass, cache)?,
            Mixer::DeltaNet(delta_net) => delta_net.forward(&normed, pass, cache)?,
        };
        let x = (x + mixed)?;
        let normed = self.feed_forward_norm.forward(&x)?;
        x + self.feed_forward.forward(&normed)?
    }
}
