//! From the names and the order of rows of GGUF to those of a Hugging Face Llama model.

use crate::gguf::Gguf;
use anyhow::{Context, Result, ensure};
use candle_core::{DType, Tensor};
use serde_json::{Value, json};
use std::collections::HashMap;

/// The configuration of the model.
pub(crate) struct Model {
    pub(crate) layers: usize,
    pub(crate) vocab_size: usize,
    hidden: usize,
    intermediate: usize,
    heads: usize,
    key_value_heads: usize,
    head_size: usize,
    context: usize,
    rope_theta: f64,
    rms_norm_epsilon: f64,
    begin_token: u32,
    end_token: u32,
    padding_token: u32,
    tied_head: bool,
}

impl Model {
    pub(crate) fn read_configuration(gguf: &Gguf) -> Result<Self> {
        let architecture = gguf.text("general.architecture")?;
        ensure!(architecture == "llama", "the architecture is {architecture:?}, SmolLM2 is a \"llama\"");
        let hidden = gguf.size("llama.embedding_length", 1 << 16)?;
        let heads = gguf.size("llama.attention.head_count", 1 << 10)?;
        let key_value_heads = gguf.size("llama.attention.head_count_kv", 1 << 10)?;
        let head_size = gguf.size("llama.rope.dimension_count", 1 << 10)?;
        ensure!(heads * head_size == hidden, "{heads} heads of {head_size} do not make a hidden size of {hidden}");
        ensure!(heads % key_value_heads == 0, "{heads} heads cannot share {key_value_heads} keys and values");
        ensure!(head_size % 2 == 0, "a head size of {head_size} cannot be rotated in pairs");
        let vocab_size = gguf.size("llama.vocab_size", 1 << 20)?;
        Ok(Model {
            layers: gguf.size("llama.block_count", 1 << 10)?,
            vocab_size,
            hidden,
            intermediate: gguf.size("llama.feed_forward_length", 1 << 18)?,
            heads,
            key_value_heads,
            head_size,
            context: gguf.size("llama.context_length", 1 << 24)?,
            rope_theta: gguf.positive("llama.rope.freq_base")?,
            rms_norm_epsilon: gguf.positive("llama.attention.layer_norm_rms_epsilon")?,
            begin_token: gguf.token_id("tokenizer.ggml.bos_token_id", vocab_size)?,
            end_token: gguf.token_id("tokenizer.ggml.eos_token_id", vocab_size)?,
            padding_token: gguf.token_id("tokenizer.ggml.padding_token_id", vocab_size)?,
            tied_head: !gguf.has_tensor("output.weight"),
        })
    }

    /// All tensors in bf16, by their Hugging Face names.
    pub(crate) fn read_tensors(&self, gguf: &mut Gguf) -> Result<HashMap<String, Tensor>> {
        let (hidden, inner) = (self.hidden, self.intermediate);
        let key_value = self.key_value_heads * self.head_size;
        let mut tensors = HashMap::new();
        let mut read = |from: &str, to: String, shape: &[usize], rotated_heads: Option<usize>| -> Result<()> {
            let mut tensor = gguf.tensor(from, shape)?;
            if let Some(heads) = rotated_heads {
                tensor = rows_of_half_rotation(&tensor, heads)?;
            }
            tensors.insert(to, tensor.to_dtype(DType::BF16)?);
            Ok(())
        };
        read("token_embd.weight", "model.embed_tokens.weight".to_owned(), &[self.vocab_size, hidden], None)?;
        read("output_norm.weight", "model.norm.weight".to_owned(), &[hidden], None)?;
        if !self.tied_head {
            read("output.weight", "lm_head.weight".to_owned(), &[self.vocab_size, hidden], None)?;
        }
        for layer in 0..self.layers {
            let parts: [(&str, &str, &[usize], Option<usize>); 9] = [
                ("attn_norm", "input_layernorm", &[hidden], None),
                ("attn_q", "self_attn.q_proj", &[hidden, hidden], Some(self.heads)),
                ("attn_k", "self_attn.k_proj", &[key_value, hidden], Some(self.key_value_heads)),
                ("attn_v", "self_attn.v_proj", &[key_value, hidden], None),
                ("attn_output", "self_attn.o_proj", &[hidden, hidden], None),
                ("ffn_norm", "post_attention_layernorm", &[hidden], None),
                ("ffn_gate", "mlp.gate_proj", &[inner, hidden], None),
                ("ffn_up", "mlp.up_proj", &[inner, hidden], None),
                ("ffn_down", "mlp.down_proj", &[hidden, inner], None),
            ];
            for (from, to, shape, rotated_heads) in parts {
                let to = format!("model.layers.{layer}.{to}.weight");
                read(&format!("blk.{layer}.{from}.weight"), to, shape, rotated_heads)?;
            }
        }
        Ok(tensors)
    }

    /// The tensors of a model that has these layers, counted anew from 0.
    pub(crate) fn choose_layers(
        &self,
        layers: &[usize],
        tensors: &HashMap<String, Tensor>,
    ) -> Result<Vec<(String, Tensor)>> {
        let mut chosen = Vec::new();
        for (name, tensor) in tensors {
            let Some(of_layer) = name.strip_prefix("model.layers.") else {
                chosen.push((name.clone(), tensor.clone()));
                continue;
            };
            let (layer, part) = of_layer.split_once('.').context("a tensor of a layer has a number and a name")?;
            let layer: usize = layer.parse()?;
            if let Some(place) = layers.iter().position(|&kept| kept == layer) {
                chosen.push((format!("model.layers.{place}.{part}"), tensor.clone()));
            }
        }
        Ok(chosen)
    }

    /// `config.json` in the form of transformers 5, for a model of so many layers.
    pub(crate) fn config(&self, layers: usize) -> Value {
        json!({
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": false,
            "attention_dropout": 0.0,
            "bos_token_id": self.begin_token,
            "dtype": "bfloat16",
            "eos_token_id": self.end_token,
            "head_dim": self.head_size,
            "hidden_act": "silu",
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "max_position_embeddings": self.context,
            "mlp_bias": false,
            "model_type": "llama",
            "num_attention_heads": self.heads,
            "num_hidden_layers": layers,
            "num_key_value_heads": self.key_value_heads,
            "pad_token_id": self.padding_token,
            "rms_norm_eps": self.rms_norm_epsilon,
            "rope_parameters": {"rope_theta": self.rope_theta, "rope_type": "default"},
            "tie_word_embeddings": self.tied_head,
            "use_cache": true,
            "vocab_size": self.vocab_size,
        })
    }

    /// `generation_config.json`: where the model ends.
    pub(crate) fn generation_config(&self) -> Value {
        json!({
            "bos_token_id": self.begin_token,
            "eos_token_id": self.end_token,
            "pad_token_id": self.padding_token,
        })
    }
}

/// Puts the rows of a query or key projection, `[heads * head size, hidden]`, into the order of Hugging Face.
///
/// Rotary embedding turns pairs of a head's rows. GGUF keeps the two rows of a pair side by side, row 2i and row
/// 2i + 1; Hugging Face keeps them half a head apart, row i and row i + head size / 2.
fn rows_of_half_rotation(projection: &Tensor, heads: usize) -> candle_core::Result<Tensor> {
    let (rows, columns) = projection.dims2()?;
    projection.reshape((heads, rows / heads / 2, 2, columns))?.transpose(1, 2)?.contiguous()?.reshape((rows, columns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn pairs_of_rows_come_to_stand_half_a_head_apart() {
        // Two heads of four rows; the entry of a row says head, pair, and which of the pair.
        let gguf: Vec<f32> = vec![100., 101., 110., 111., 200., 201., 210., 211.];
        let hugging_face: Vec<f32> = vec![100., 110., 101., 111., 200., 210., 201., 211.];
        let projection = Tensor::from_vec(gguf, (8, 1), &Device::Cpu).unwrap();
        let rows = rows_of_half_rotation(&projection, 2).unwrap();
        assert_eq!(rows.flatten_all().unwrap().to_vec1::<f32>().unwrap(), hugging_face);
    }
}
