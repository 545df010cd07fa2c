use candle_core::{DType, Tensor};

use super::linear::Linear;
use crate::config::{FeedForwardConfig, ModelConfig, MoeConfig};
use crate::cpu;
use crate::error::Result;
use crate::loader::Loader;

/// The part of a layer that works on each token alone.
pub(crate) enum FeedForward {
    Dense(Mlp),
    Moe(MixtureOfExperts),
}

impl FeedForward {
    pub(crate) fn load(loader: &Loader<'_>, model: &ModelConfig, config: FeedForwardConfig) -> Result<Self> {
        Ok(match config {
            FeedForwardConfig::Dense { intermediate, bias } => {
                Self::Dense(Mlp::load(loader, model.hidden_size, intermediate, bias)?)
            }
            FeedForwardConfig::Moe(config) => Self::Moe(MixtureOfExperts::load(loader, model.hidden_size, config)?),
        })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Dense(mlp) => mlp.forward(x),
            Self::Moe(experts) => experts.forward(x),
        }
    }
}

/// `down(silu(gate x) · up x)`
pub(crate) struct Mlp {
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Mlp {
    fn load(loader: &Loader<'_>, hidden: usize, intermediate: usize, bias: bool) -> Result<Self> {
        Ok(Self {
            gate: Linear::load(loader, "gate_proj", hidden, intermediate, bias)?,
            up: Linear::load(loader, "up_proj", hidden, intermediate, bias)?,
            down: Linear::load(loader, "down_proj", intermediate, hidden, bias)?,
        })
    }

    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let (gate, up) = (self.gate.forward(x)?, self.up.forward(x)?);
        let inner = match cpu::is_fast(&gate) {
            true => cpu::elementwise::silu_mul(&gate, &up)?,
            false => (gate.silu()? * up)?,
        };
        self.down.forward(&inner)
    }
}

/// A router sends each token to a few of many small feed-forward networks.
pub(crate) struct MixtureOfExperts {
    /// `[experts, hidden]` in f32: in bf16 ties would send tokens elsewhere from one implementation to the next.
    router: Tensor,
    experts: Vec<Mlp>,
    shared: Option<SharedExpert>,
    experts_per_token: usize,
    normalize: bool,
}

/// The expert that every token takes, weighed by a gate of its own.
struct SharedExpert {
    expert: Mlp,
    gate: Linear,
}

impl MixtureOfExperts {
    fn load(loader: &Loader<'_>, hidden: usize, config: MoeConfig) -> Result<Self> {
        let MoeConfig { experts, experts_per_token, intermediate, shared_intermediate, normalize } = config;
        let router = loader.load_f32("gate.weight", &[experts, hidden])?;
        let shared = match shared_intermediate {
            None => None,
            Some(intermediate) => Some(SharedExpert {
                expert: Mlp::load(&loader.part("shared_expert"), hidden, intermediate, false)?,
                gate: Linear::load(loader, "shared_expert_gate", hidden, 1, false)?,
            }),
        };
        let loader = loader.part("experts");
        let experts = if loader.contains("gate_up_proj") {
            load_fused(&loader, hidden, intermediate, experts)?
        } else {
            (0..experts)
                .map(|expert| Mlp::load(&loader.part(&expert.to_string()), hidden, intermediate, false))
                .collect::<Result<_>>()?
        };
        Ok(Self { router, experts, shared, experts_per_token, normalize })
    }

    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let (tokens, hidden) = x.dims2()?;
        let logits = cpu::times_transposed(&x.to_dtype(DType::F32)?, &self.router)?;
        let probabilities = candle_nn::ops::softmax_last_dim(&logits)?.to_vec2::<f32>()?;
        let routing = Routing::new(&probabilities, self.experts_per_token, self.normalize);

        // Tokens sorted by expert, so that each expert runs once; then back to the tokens, best expert first.
        let mut outputs = Vec::with_capacity(self.experts.len());
        for (expert, tokens) in routing.tokens_of_expert.iter().enumerate() {
            if !tokens.is_empty() {
                let rows = Tensor::from_slice(tokens, tokens.len(), x.device())?;
                outputs.push(self.experts[expert].forward(&x.index_select(&rows, 0)?)?);
            }
        }
        let slots = Tensor::from_vec(routing.slots, tokens * self.experts_per_token, x.device())?;
        let outputs =
            Tensor::cat(&outputs, 0)?.index_select(&slots, 0)?.reshape((tokens, self.experts_per_token, hidden))?;
        let weights =
            Tensor::from_vec(routing.weights, (tokens, self.experts_per_token, 1), x.device())?.to_dtype(x.dtype())?;
        let mixed = outputs.broadcast_mul(&weights)?.sum(1)?;
        match &self.shared {
            None => Ok(mixed),
            Some(shared) => {
                let gate = candle_nn::ops::sigmoid(&shared.gate.forward(x)?)?;
                mixed + shared.expert.forward(x)?.broadcast_mul(&gate)?
            }
        }
    }
}

/// All experts in two tensors: `[experts, 2 · intermediate, hidden]`, gate rows before up rows, and
/// `[experts, hidden, intermediate]`. The experts are views of them.
fn load_fused(loader: &Loader<'_>, hidden: usize, intermediate: usize, experts: usize) -> Result<Vec<Mlp>> {
    let gate_up = loader.load("gate_up_proj", &[experts, 2 * intermediate, hidden])?;
    let down = loader.load("down_proj", &[experts, hidden, intermediate])?;
    let expert = |index: usize| -> candle_core::Result<Mlp> {
        let gate_up = gate_up.get(index)?;
        Ok(Mlp {
            gate: Linear::from_weight(gate_up.narrow(0, 0, intermediate)?),
            up: Linear::from_weight(gate_up.narrow(0, intermediate, intermediate)?),
            down: Linear::from_weight(down.get(index)?),
        })
    };
    Ok((0..experts).map(expert).collect::<candle_core::Result<_>>()?)
}

/// Which tokens go to which experts.
struct Routing {
    tokens_of_expert: Vec<Vec<u32>>,
    /// For each token and rank, the row of its output once all experts' outputs stand one after the other.
    slots: Vec<u32>,
    /// For each token and rank, the expert's weight.
    weights: Vec<f32>,
}

impl Routing {
    fn new(probabilities: &[Vec<f32>], experts_per_token: usize, normalize: bool) -> Self {
        let experts = probabilities.first().map_or(0, Vec::len);
        let mut tokens_of_expert = vec![Vec::new(); experts];
        let mut chosen = Vec::with_capacity(probabilities.len() * experts_per_token);
        let mut weights = Vec::with_capacity(chosen.capacity());
        for (token, row) in probabilities.iter().enumerate() {
            let mut order: Vec<usize> = (0..experts).collect();
            // The sort is stable: of equal probabilities the lower expert comes first.
            order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
            order.truncate(experts_per_token);
            let sum: f32 = if normalize { order.iter().map(|&expert| row[expert]).sum() } else { 1.0 };
            for expert in order {
                chosen.push((expert, tokens_of_expert[expert].len()));
                weights.push(row[expert] / sum);
                tokens_of_expert[expert].push(token as u32);
            }
        }
        let mut first_slot = vec![0; experts];
        for expert in 1..experts {
            first_slot[expert] = first_slot[expert - 1] + tokens_of_expert[expert - 1].len();
        }
        let slots = chosen.into_iter().map(|(expert, rank)| (first_slot[expert] + rank) as u32).collect();
        Self { tokens_of_expert, slots, weights }
    }
}
