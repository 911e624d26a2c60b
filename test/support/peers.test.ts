import { execFile } from 'node:child_process';
import { chmod } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { withDirectory, writeFiles } from '../edges/opa/bundles.ts';
import { findPeer, PEER_NAMES, PEERS, peerPath } from './peers.ts';

const run = promisify(execFile);

describe('a peer', () => {
  it('is found by an absolute path, and is the version that the table names', async () => {
    for (const name of PEER_NAMES) expect(isAbsolute(peerPath(name))).toBe(true);
    const { stdout } = await run(peerPath('opa'), ['version']);
    expect(stdout).toContain(`Version: ${PEERS.opa.version.slice(1)}\n`);
  });

  it('is looked for in the cache before the PATH, and only where it can be run', async () => {
    await withDirectory(async (dir) => {
      await writeFiles(dir, { 'cache/wrk': '', 'path/wrk': '', 'path/opa': '' });
      await chmod(join(dir, 'path/wrk'), 0o755);
      const search = `relative:${join(dir, 'none')}:${join(dir, 'path')}`;
      expect(findPeer('wrk', search, join(dir, 'cache'))).toBe(join(dir, 'path/wrk'));
      await chmod(join(dir, 'cache/wrk'), 0o755);
      expect(findPeer('wrk', search, join(dir, 'cache'))).toBe(join(dir, 'cache/wrk'));
      expect(findPeer('opa', search, join(dir, 'cache'))).toBeUndefined();
      expect(findPeer('opa', '', join(dir, 'cache'))).toBeUndefined();
    });
  });

  it('costs nothing to install when it is there', async () => {
    const script = fileURLToPath(new URL('./install-peers.ts', import.meta.url));
    expect(await run(process.execPath, [script])).toEqual({ stdout: '', stderr: '' });
  });

  it('is named, with how to get it, where it is missing and cannot be installed', async () => {
    const script = fileURLToPath(new URL('./install-peers.ts', import.meta.url));
    await withDirectory(async (dir) => {
      const failed: unknown = await run(process.execPath, [script], { env: { PATH: dir } }).catch(
        (error: unknown) => error,
      );
      expect(failed).toMatchObject({ code: 1 });
      const { stderr } = failed as { stderr: string };
      expect(stderr).toContain('missing peer: wrk (apt-get install wrk)');
      expect(stderr).toContain('missing peer: strace (apt-get install strace)');
    });
  });
});
