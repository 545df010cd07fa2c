use std::{
    ffi::{OsStr, OsString},
    io,
    process::Command,
};

/// Variables that a worker may see, beside those of [`ALLOWED_PREFIXES`]: where programs and libraries are, where
/// downloads lie and how the Hub is reached, which devices there are.
const ALLOWED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "LANG",
    "LD_LIBRARY_PATH",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "HF_TOKEN",
    "HF_TOKEN_PATH",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN",
    "XDG_CACHE_HOME",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "DISTIL_WORKER_CACHE",
    "RUST_BACKTRACE",
];
const ALLOWED_PREFIXES: &[&str] = &["CUDA_", "NVIDIA_"];
/// What `ssh` needs to reach another host; the process that runs a model never sees it.
const ALLOWED_TO_CONNECT: &[&str] = &["SSH_AUTH_SOCK"];

fn is_allowed(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| ALLOWED.contains(&name) || ALLOWED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

/// The variables that the process of a pass may see.
pub(super) fn environment_of_a_pass(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> impl Iterator<Item = (OsString, OsString)> {
    variables.into_iter().filter(|(name, _)| is_allowed(name))
}

/// How a worker is started.
///
/// Of the environment it gets the variables of a short list and no others: `PATH`, `HOME`, `TMPDIR`, `LANG`,
/// `LD_LIBRARY_PATH`, those of the Hub and of proxies, `CUDA_*` and `NVIDIA_*`, `SSH_AUTH_SOCK` (only as far as `ssh`),
/// `DISTIL_WORKER_CACHE` and `RUST_BACKTRACE`. So nothing about wallets, passwords or other programs' secrets comes
/// near a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerCommand {
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

impl WorkerCommand {
    /// A program with its arguments; of `variables`, for which programs pass [`std::env::vars_os`], only those of the
    /// list are kept.
    pub fn new(
        program: impl Into<OsString>,
        arguments: impl IntoIterator<Item: Into<OsString>>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        let keep = |name: &OsStr| is_allowed(name) || ALLOWED_TO_CONNECT.iter().any(|allowed| name == *allowed);
        Self {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: variables.into_iter().filter(|(name, _)| keep(name)).collect(),
        }
    }

    /// This program itself, as `distil worker`.
    ///
    /// # Errors
    ///
    /// The system does not tell where this program lies.
    pub fn this_program(variables: impl IntoIterator<Item = (OsString, OsString)>) -> io::Result<Self> {
        Ok(Self::new(std::env::current_exe()?, ["worker"], variables))
    }

    /// A command line, as `--worker` takes it; a shell reads it, so that quotes and `~` mean what they always do:
    /// `ssh -o BatchMode=yes gpu-host distil-worker`.
    pub fn shell(command_line: &str, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self::new("/bin/sh", ["-c", command_line], variables)
    }

    /// What is started, for messages.
    pub fn describe(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.arguments);
        words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }

    pub(super) fn to_command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_sees_what_it_needs_and_no_secrets() {
        let variables = || {
            [
                "PATH",
                "HF_HOME",
                "HF_ENDPOINT",
                "CUDA_VISIBLE_DEVICES",
                "SSH_AUTH_SOCK",
                "BT_PW__HOME_ME_WALLETS_A_COLDKEY",
                "BT_WALLET_PATH",
                "WALLET_PASSWORD",
                "DISTIL_WALLET",
                "AWS_SECRET_ACCESS_KEY",
                "LD_PRELOAD",
                "XCUDA_",
            ]
            .map(|name| (OsString::from(name), OsString::from("value")))
        };
        let command = WorkerCommand::new("w", ["x"], variables()).to_command();
        let seen: Vec<&str> = command.get_envs().map(|(name, _)| name.to_str().unwrap()).collect();
        assert_eq!(seen, ["CUDA_VISIBLE_DEVICES", "HF_ENDPOINT", "HF_HOME", "PATH", "SSH_AUTH_SOCK"]);
        let pass: Vec<OsString> = environment_of_a_pass(variables()).map(|(name, _)| name).collect();
        assert_eq!(pass, ["PATH", "HF_HOME", "HF_ENDPOINT", "CUDA_VISIBLE_DEVICES"]);
    }
}
