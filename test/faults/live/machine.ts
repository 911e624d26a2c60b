/** What this machine lets a live run do: mount small disks, set the clocks of a process, trace one. What it cannot do is said. */
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findPeer } from '../../support/peers.ts';
import { buildClocks } from './set-clocks.ts';

export interface Machine {
  readonly hasMounts: boolean;
  /** By which the clocks of a process can be set (set-clocks.ts). */
  readonly clocks: string | undefined;
  readonly hasTracer: boolean;
  /** A disk of so many MiB; at `path`, or somewhere. */
  mount(mib: number, path?: string): Promise<string>;
  unmountAll(): Promise<void>;
}

export async function examineMachine(): Promise<Machine> {
  const mounted: { readonly path: string; readonly isOurs: boolean }[] = [];
  const machine = {
    hasTracer: findPeer('strace', process.env['PATH'] ?? '') !== undefined,
    clocks: await buildClocks(),
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
