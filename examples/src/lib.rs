//! Programs that show what the Distil crates are for, and small models to try them on.
//!
//! - `data/tiny/`: a trained teacher, two students and prompts, 8 MB in all; see its README.
//! - `smollm2`: makes a teacher and a student of realistic size, SmolLM2-135M whole and with layers taken out, from a
//!   package that any machine can download.
