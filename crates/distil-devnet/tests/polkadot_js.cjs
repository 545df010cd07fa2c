// Reads a devnet and writes to it with @polkadot/api, which knows nothing of it but its metadata.
// Arguments: the endpoint. Prints one JSON object of what it saw.
const { ApiPromise, WsProvider, Keyring } = require('@polkadot/api');

async function main() {
  const api = await ApiPromise.create({ provider: new WsProvider(process.argv[2]), noInitWarn: true });
  await api.isReady;
  const keyring = new Keyring({ type: 'sr25519' });
  const [alice, bob] = ['//Alice', '//Bob'].map((uri) => keyring.addFromUri(uri));

  const revealed = await api.query.commitments.revealedCommitments(97, bob.address);
  const [[bytes, block]] = revealed.unwrap();
  const keys = await api.query.subtensorModule.keys.entries(97);
  const metagraph = await api.call.subnetInfoRuntimeApi.getSelectiveMetagraph(97, [30, 52]);

  // Follows a call to its end, and gives the names of its events or of its error.
  const submit = (call, signer) => new Promise((resolve, reject) => {
    call.signAndSend(signer, { nonce: -1 }, ({ status, events, dispatchError }) => {
      if (!status.isFinalized) return;
      if (dispatchError) {
        const { section, name } = api.registry.findMetaError(dispatchError.asModule);
        resolve(`${section}.${name}`);
      } else {
        resolve(events.map(({ event }) => `${event.section}.${event.method}`));
      }
    }).catch(reject);
  });
  const committed = await submit(
    api.tx.commitments.setCommitment(97, { fields: [{ Raw5: '0x68656c6c6f' }] }), bob);
  const commitment = await api.query.commitments.commitmentOf(97, bob.address);
  const weights = await submit(api.tx.subtensorModule.setWeights(97, [1], [1], 0), alice);
  const refused = await submit(api.tx.subtensorModule.setWeights(97, [9], [1], 0), alice);

  console.log(JSON.stringify({
    chain: (await api.rpc.system.chain()).toString(),
    specVersion: api.runtimeVersion.specVersion.toNumber(),
    revealed: [bytes.toUtf8(), block.toNumber()],
    hotkeys: keys.map(([, account]) => account.toString()),
    numUids: metagraph.unwrap().toJSON().num_uids ?? metagraph.unwrap().toJSON().numUids,
    committed,
    commitment: commitment.unwrap().info.fields[0].toHuman(),
    weights,
    refused,
  }));
  await api.disconnect();
}

// The provider would try to connect for ever.
setTimeout(() => { console.error('no answer for a minute'); process.exit(1); }, 60_000).unref();
main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
