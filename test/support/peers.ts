/**
 * The real programs that tests run beside Writ, one line each, and where they are. Tests get absolute paths from
 * `peerPath` and never search themselves; install-peers.ts installs by the same table. Reads the disk, runs nothing.
 */
import { accessSync, constants } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export type PeerSource =
  /** `go install <module>@<version>` into the cache. */
  | { readonly from: 'go'; readonly module: string; readonly version: string }
  /** A package of Debian's. */
  | { readonly from: 'apt'; readonly package: string };

export const PEERS = {
  opa: { from: 'go', module: 'github.com/open-policy-agent/opa', version: 'v1.22.2' },
  openssl: { from: 'apt', package: 'openssl' },
  strace: { from: 'apt', package: 'strace' },
  'redis-server': { from: 'apt', package: 'redis-server' },
  'redis-sentinel': { from: 'apt', package: 'redis-sentinel' },
  wrk: { from: 'apt', package: 'wrk' },
  h2load: { from: 'apt', package: 'nghttp2-client' },
  /** With what it needs to compile anything. */
  gcc: { from: 'apt', package: 'g++' },
} as const satisfies Record<string, PeerSource>;

export type PeerName = keyof typeof PEERS;

/** What `npm run bench` runs. */
export const BENCH_PEER_NAMES: readonly PeerName[] = ['opa', 'wrk', 'h2load'];

/** What `npm run faults` runs; what is missing of them is not run. */
export const FAULT_PEER_NAMES: readonly PeerName[] = ['redis-server', 'strace', 'gcc'];

/** What `npm test` runs: a machine that never measures needs no open-loop load, and no clock that can be set. */
export const PEER_NAMES = (Object.keys(PEERS) as PeerName[]).filter(
  (name) => name !== 'h2load' && name !== 'gcc',
);

/** Ignored by git; what is here goes before the PATH, because it is of the version in the table. */
export const PEER_CACHE = fileURLToPath(new URL('../../.cache/bin', import.meta.url));

/** Absolute path of the peer. Throws, and says what to run, when it is not here. */
export function peerPath(name: PeerName): string {
  const path = findPeer(name, process.env['PATH'] ?? '');
  if (path === undefined) throw new Error(`${name} is not here: run node test/support/install-peers.ts`);
  return path;
}

/** Where the peer is: the cache, then the absolute directories of `searchPath`. */
export function findPeer(name: PeerName, searchPath: string, cache: string = PEER_CACHE): string | undefined {
  const directories = [cache, ...searchPath.split(delimiter).filter((directory) => isAbsolute(directory))];
  return directories.map((directory) => join(directory, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
