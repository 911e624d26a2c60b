/** What this machine lets a live run do: mount small disks, set one process's clock, trace one. What it cannot do is said. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findPeer } from '../../support/peers.ts';

const FAKE_TIME = ['x86_64-linux-gnu', 'aarch64-linux-gnu'].map(
  (arch) => `/usr/lib/${arch}/faketime/libfaketime.so.1`,
);

export interface Machine {
  readonly hasMounts: boolean;
  /** The environment of a process whose wall clock can be set. */
  readonly fakeTime: Readonly<Record<string, string>> | undefined;
  readonly hasTracer: boolean;
  /** A disk of so many MiB; at `path`, or somewhere. */
  mount(mib: number, path?: string): Promise<string>;
  unmountAll(): Promise<void>;
}

export async function examineMachine(): Promise<Machine> {
  const mounted: { readonly path: string; readonly isOurs: boolean }[] = [];
  const library = FAKE_TIME.find((path) => existsSync(path));
  const machine = {
    hasTracer: findPeer('strace', process.env['PATH'] ?? '') !== undefined,
    fakeTime:
      library === undefined
        ? undefined
        : {
            LD_PRELOAD: library,
            FAKETIME_DONT_FAKE_MONOTONIC: '1',
            FAKETIME_NO_CACHE: '1',
            NO_FAKE_STAT: '1',
          },
    mount: async (mib: number, path?: string) => {
      const at = path ?? (await mkdtemp(join(tmpdir(), 'writ-disk-')));
      await mkdir(at, { recursive: true });
      const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${mib}m`, 'tmpfs', at]);
      if (status !== 0) throw new Error('no disk can be mounted');
      mounted.push({ path: at, isOurs: path === undefined });
      return at;
    },
    unmountAll: async () => {
      for (const { path, isOurs } of mounted.splice(0)) {
        spawnSync('umount', ['-l', path]);
        if (isOurs) await rm(path, { recursive: true, force: true });
      }
    },
  };
  const hasMounts = await machine.mount(1).then(
    () => true,
    () => false,
  );
  await machine.unmountAll();
  return { ...machine, hasMounts };
}
