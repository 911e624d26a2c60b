import { execFile } from 'node:child_process';
import { copyFile, cp, mkdir, readFile, rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { loadPolicy } from '@open-policy-agent/opa-wasm';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildPolicy } from '../../src/cli/build-policy.ts';
import { readBundle, readBundleFiles } from '../../src/edges/opa/bundle.ts';
import { openPolicyEngine } from '../../src/edges/opa/engine.ts';
import type { OpaPolicyEngine } from '../../src/edges/opa/engine.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import { withDirectory, withFile } from '../edges/opa/bundles.ts';
import { peerPath } from '../support/peers.ts';

const POLICIES = fileURLToPath(new URL('../../policies', import.meta.url));
const DECISION = 'writ/authz/decision';

let shipped: Buffer;

beforeAll(async () => {
  shipped = await readFile(join(POLICIES, 'bundle.tar.gz'));
});

describe('the default policy', () => {
  it('is in the shipped bundle byte for byte as its sources compile', async () => {
    const built = await buildPolicy({
      opa: peerPath('opa'),
      dir: POLICIES,
      entrypoints: [DECISION],
      readFiles: (bundle) => readBundleFiles(bundle),
    });
    expect(Buffer.from(built.bundle).equals(shipped)).toBe(true);
  });

  it('compiles to the same bytes from another directory at another time', async () => {
    await withDirectory(async (dir) => {
      const copy = join(dir, 'deep', 'copy');
      await mkdir(copy, { recursive: true });
      await cp(POLICIES, copy, { recursive: true });
      await copyFile(join(copy, 'bundle.tar.gz'), join(copy, 'old.tar.gz'));
      await utimes(join(copy, 'data.json'), 1, 1);
      const readFiles = (bundle: Uint8Array): ReturnType<typeof readBundleFiles> => readBundleFiles(bundle);
      const opa = peerPath('opa');
      const built = await buildPolicy({ opa, dir: copy, entrypoints: [DECISION], readFiles });
      expect(Buffer.from(built.bundle).equals(shipped)).toBe(true);
      await rm(join(copy, 'writ', 'authz_test.rego'));
      const untested = await buildPolicy({ opa, dir: copy, entrypoints: [DECISION], readFiles });
      expect(Buffer.from(untested.bundle).equals(shipped)).toBe(true);
    });
  });

  it('passes its own tests, which leave no line of it out', async () => {
    const run = promisify(execFile);
    const { stdout } = await run(peerPath('opa'), ['test', '--coverage', '--ignore', '*.tar.gz', '.'], {
      cwd: POLICIES,
    });
    const report = JSON.parse(stdout) as { files: Record<string, { coverage?: number }> };
    expect(report.files['writ/authz.rego']?.coverage).toBe(100);
    const { stdout: verdict } = await run(peerPath('opa'), ['test', '--ignore', '*.tar.gz', '.'], {
      cwd: POLICIES,
    });
    expect(verdict).toMatch(/^PASS: (\d+)\/\1\s*$/);
  });

  it('is pure, asks nothing of its host, and reads no more of the input than it names', async () => {
    const engine = await openPolicyEngine({ bundle: shipped, entrypoint: DECISION });
    expect(engine.revision.isPure).toBe(true);
    expect(engine.revision.readsNow).toBe(true);
    expect(engine.revision.entrypoints).toEqual([DECISION]);
    expect(engine.facts.builtins).toEqual([]);
    expect(engine.facts.inputPaths?.map((path) => path.join('.'))).toEqual([
      'action.name',
      'credential.actors',
      'credential.claims.scope',
      'credential.claims.scp',
      'credential.issuer',
      'grants',
      'now',
      'resource.id',
      'resource.type',
      'subject.id',
      'subject.type',
    ]);
  });
});

const word = fc.constantFrom('a', 'b', 'invoice', 'read', 'invoice:read', 'ä', '', 'x y', '😀');
// Few of each, so that requests often meet what would permit them.
const name = fc.constantFrom('a', 'ä', '😀');
const verb = fc.constantFrom('read', 'read', 'b');
const type = fc.constantFrom('invoice', 'invoice', 'invoice', 'a', 'x y', 'in:voice');
const issuer = fc.constantFrom('https://a', 'https://b');
const odd = fc.oneof(fc.constantFrom(null, true, 0, '', 'invoice:read'), fc.array(word, { maxLength: 2 }));
const scopes = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .array(fc.constantFrom('invoice:read', 'a:b', 'openid'), { maxLength: 3 })
      .map((list) => list.join(' ')),
  },
  { weight: 2, arbitrary: fc.array(word, { maxLength: 3 }) },
  { weight: 1, arbitrary: odd },
);

function sometimes<T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.option(value, { nil: undefined, freq: 4 });
}

const resource = fc.record({ type, id: fc.constantFrom('1', '2') }, { requiredKeys: ['type'] });
const grant = fc.record(
  {
    subject: fc.record({ id: name, type }, { requiredKeys: ['id'] }),
    issuer,
    action: verb,
    resource,
    until: fc.oneof(fc.constantFrom(5, 10, 11), odd),
  },
  { requiredKeys: ['subject', 'action', 'resource'] },
);

const request = fc.record(
  {
    subject: fc.oneof({ weight: 5, arbitrary: fc.record({ type, id: name }) }, odd),
    action: fc.oneof({ weight: 5, arbitrary: fc.record({ name: verb }) }, odd),
    resource: fc.oneof({ weight: 5, arbitrary: resource }, odd),
    context: fc.dictionary(word, odd, { maxKeys: 2 }),
    credential: fc.oneof(
      {
        weight: 5,
        arbitrary: fc.record({
          issuer,
          claims: fc.record({ scope: sometimes(scopes), scp: sometimes(scopes), sub: word }),
          actors: fc.array(fc.record({ issuer, subject: name }), { maxLength: 2 }),
        }),
      },
      odd,
    ),
    grants: fc.oneof({ weight: 5, arbitrary: fc.array(grant, { maxLength: 6, size: 'max' }) }, odd),
    now: fc.oneof({ weight: 5, arbitrary: fc.constant(10) }, odd),
  },
  { requiredKeys: ['subject', 'action', 'resource'] },
);

/** What chance might not come upon. */
const GRANTED = {
  subject: { type: 'invoice', id: '😀' },
  action: { name: 'read' },
  resource: { type: 'in:voice' },
  grants: [{ subject: { id: '😀' }, action: 'read', resource: { type: 'in:voice' }, until: 11 }],
  now: 10,
};

const DATA = {
  roles: { reader: [{ action: 'read', resource_type: 'invoice' }], b: [{ action: 'b', resource_type: 'a' }] },
  bindings: { a: ['reader'], ä: ['nobody', 'b'], '': [] },
};

describe('the host', () => {
  let engine: OpaPolicyEngine;
  let whole: OpaPolicyEngine;
  let sdk: Awaited<ReturnType<typeof loadPolicy>>;

  beforeAll(async () => {
    const { withData, wasm } = await rebuilt();
    engine = await openPolicyEngine({ bundle: withData, entrypoint: DECISION });
    whole = await openPolicyEngine({ bundle: await withoutPaths(withData), entrypoint: DECISION });
    sdk = await loadPolicy(wasm);
    sdk.setData(DATA);
  });

  it("answers as OPA's own SDK does, whatever the input, and whether or not it is told what is read", () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(request, (drawn) => {
        const input = JSON.parse(JSON.stringify(drawn)) as JsonObject;
        const [first] = sdk.evaluate(input) as { result: { allow: boolean; reason: string } }[];
        const answer = engine.decide(input);
        expect(answer).toEqual({ kind: 'answer', ...first?.result });
        expect(whole.decide(input)).toEqual(answer);
        expect(engine.evaluate(DECISION, input)).toEqual({ kind: 'value', value: first?.result });
        seen.add(first?.result.reason ?? '');
      }),
      { numRuns: 3_000, examples: [[GRANTED as never]] },
    );
    expect([...seen].sort()).toEqual(['default', 'grant', 'role', 'scope']);
  });
});

/** The default policy over DATA, and its module. */
async function rebuilt(): Promise<{ withData: Buffer; wasm: Uint8Array<ArrayBuffer> }> {
  const withData = await withFile(shipped, '/data.json', JSON.stringify(DATA));
  return { withData, wasm: (await readBundle(withData)).wasm };
}

function withoutPaths(bundle: Uint8Array): Promise<Buffer> {
  return withFile(
    bundle,
    '/.manifest',
    JSON.stringify({ wasm: [{ entrypoint: DECISION, module: '/policy.wasm' }] }),
  );
}
