//! The program as a host with a GPU would run it: started by a real `sshd`.

mod dependencies;
mod sshd;
