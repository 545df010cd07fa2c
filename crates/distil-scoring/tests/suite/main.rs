//! The rules of a round and of the crown, from what is known of the miners to what is written afterwards. Tests that
//! hold a fault of the original or a known attack have its letter and number in their names.

mod common;
mod crown;
mod judging;
mod planning;
mod recorded;
mod rounds;
mod season;
mod weights;
