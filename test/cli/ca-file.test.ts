/** A control plane with a certificate that only an authority of the user's own vouches for: `--ca-file`, WRIT_CA_FILE. */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Certificate } from '../support/certificates.ts';
import { makeAuthority, makeCertificate } from '../support/certificates.ts';
import { runCliInProcess } from '../support/cli-in-process.ts';
import { InProcessWrit } from '../support/in-process.ts';

let cwd: string;
let authority: Certificate;
let other: Certificate;
let writ: InProcessWrit;
let where: string[];
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'writ-ca-'));
  [authority, other] = [makeAuthority(cwd, 'ours'), makeAuthority(cwd, 'theirs')];
  const tls = makeCertificate(cwd, 'writ', authority, 'IP:127.0.0.1');
  await chmod(tls.keyFile, 0o600);
  const listener = JSON.stringify({ address: '127.0.0.1:0', tls });
  const sets = ['data', 'control', 'diagnostics'].map((name) => `listen.${name}=${listener}`);
  writ = await InProcessWrit.open({ sets });
  where = ['--url', writ.writ.urls.control, '--token-file', join(writ.dataDir, 'admin-token')];
});
afterAll(async () => {
  await writ.remove();
  await rm(cwd, { recursive: true, force: true });
});

const CHECK = ['check', '--token', '-', '--action', 'read', '--resource', 'invoice:42'];

describe('a server over TLS', () => {
  it('is asked, on each of its listeners, when the authority in --ca-file or WRIT_CA_FILE vouches for it', async () => {
    const trust = ['--ca-file', 'ours.crt'];
    const env = { WRIT_CA_FILE: authority.certFile };
    const { diagnostics } = writ.writ.urls;
    const runs = [
      await runCliInProcess(['status', ...where, ...trust], { cwd }),
      await runCliInProcess(['replicas', ...where], { cwd, env }),
      await runCliInProcess([...CHECK, ...where], { cwd, env, input: await mint() }),
      await runCliInProcess(['drill', ...where, ...trust], { cwd }),
      await runCliInProcess(['status', '--diagnostics-url', diagnostics, ...trust], { cwd }),
      await runCliInProcess(['health', '--diagnostics-url', diagnostics], { cwd, env }),
    ];
    for (const run of runs) expect(run).toMatchObject({ code: 0, problems: '' });
  });

  it('is not asked when nobody known vouches for it: both are named, and an order was not taken', async () => {
    const order = ['revoke', 'jti', 'x', '--issuer', 'i', ...where];
    const unknown = await runCliInProcess(order, { cwd });
    expect(unknown.code).toBe(1);
    expect(unknown.problems).toMatch(
      /does not answer: its certificate is vouched for by no authority known here \([A-Z_]+\): name the authority that signed it with --ca-file or WRIT_CA_FILE\n$/,
    );
    const wrong = await runCliInProcess([...order, '--ca-file', other.certFile], { cwd });
    expect(wrong.code).toBe(1);
    expect(wrong.problems).toContain(`is vouched for by none in ${other.certFile} (`);
  });

  it('is not asked when the file is missing or holds no certificate', async () => {
    await writeFile(join(cwd, 'garbage.pem'), 'garbage');
    const said = ': --ca-file and WRIT_CA_FILE name a certificate authority\n';
    const order = ['revoke', 'jti', 'x', '--issuer', 'i', ...where];
    const garbage = await runCliInProcess([...order, '--ca-file', 'garbage.pem'], { cwd });
    expect(garbage).toMatchObject({ code: 1, out: '' });
    expect(garbage.problems).toBe(`${join(cwd, 'garbage.pem')} holds no certificate in PEM${said}`);
    const missing = await runCliInProcess(order, { cwd, env: { WRIT_CA_FILE: '/none.pem' } });
    expect(missing).toMatchObject({ code: 1, problems: `/none.pem cannot be read${said}` });
  });
});

async function mint(): Promise<string> {
  const args = ['token', '--sub', 'billing', '--scope', 'invoice:read', ...where, '--ca-file', 'ours.crt'];
  return (await runCliInProcess(args, { cwd })).out.trim();
}
