/**
 * Installs the peers of peers.ts that are missing, as far as this machine lets it: `npm test` and CI run it first, and
 * with `bench` or `faults` as its argument `npm run bench` or `npm run faults`, whose peers then are the ones installed.
 * Exit 0: all are there. Exit 1: it names each one that is not, and how to get it. Changes nothing when all are.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { BENCH_PEER_NAMES, FAULT_PEER_NAMES, findPeer, PEER_CACHE, PEER_NAMES, PEERS } from './peers.ts';
import type { PeerName, PeerSource } from './peers.ts';

const OTHERS: Readonly<Record<string, readonly PeerName[]>> = {
  bench: BENCH_PEER_NAMES,
  faults: FAULT_PEER_NAMES,
};
const wanted = OTHERS[process.argv[2] ?? ''] ?? PEER_NAMES;

function missingPeers(): PeerName[] {
  return wanted.filter((name) => findPeer(name, process.env['PATH'] ?? '') === undefined);
}

/** How a person gets it. */
function recipe(source: PeerSource): string {
  switch (source.from) {
    case 'go':
      return `GOBIN=${PEER_CACHE} go install ${source.module}@${source.version}`;
    case 'apt':
      return `apt-get install ${source.package}`;
  }
}

function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): boolean {
  console.log(`installing peers: ${command} ${args.join(' ')}`);
  const { status } = spawnSync(command, args, {
    cwd: tmpdir(),
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return status === 0;
}

function installGo(names: readonly PeerName[]): void {
  for (const name of names) {
    const source: PeerSource = PEERS[name];
    if (source.from !== 'go') continue;
    mkdirSync(PEER_CACHE, { recursive: true });
    run('go', ['install', `${source.module}@${source.version}`], { GOBIN: PEER_CACHE });
  }
}

/** Only where it may: as root. */
function installApt(names: readonly PeerName[]): void {
  const packages: string[] = [];
  for (const name of names) {
    const source: PeerSource = PEERS[name];
    if (source.from === 'apt') packages.push(source.package);
  }
  if (packages.length === 0 || process.getuid?.() !== 0) return;
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  if (run('apt-get', ['update', '-q'], env))
    run('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...packages], env);
}

const missing = missingPeers();
installGo(missing);
installApt(missing);
for (const name of missing.length === 0 ? [] : missingPeers()) {
  console.error(`missing peer: ${name} (${recipe(PEERS[name])})`);
  process.exitCode = 1;
}
