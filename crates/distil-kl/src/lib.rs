#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod batch;
mod block;
#[cfg(feature = "candle")]
#[cfg_attr(docsrs, doc(cfg(feature = "candle")))]
pub mod candle_ops;
mod error;
mod gradient;
mod logit;
mod path;
pub mod reference;
mod row;
mod rows;
mod threads;
mod tiled;
mod vector;

pub use batch::{kl_row, kl_rows};
pub use error::KlError;
pub use gradient::kl_gradient_rows;
pub use logit::Logit;
pub use path::{Kernel, Path, active_path};
pub use rows::Rows;
pub use threads::Threads;
pub use tiled::TiledKl;
