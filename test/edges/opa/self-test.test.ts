import { describe, expect, it } from 'vitest';
import { openPolicyEngine } from '../../../src/edges/opa/engine.ts';
import { preparePolicy } from '../../../src/edges/opa/prepare.ts';
import type { PreparedPolicy } from '../../../src/edges/opa/prepare.ts';
import { POLICY_LIMITS } from '../../../src/edges/opa/limits.ts';
import type { PolicyLimits } from '../../../src/edges/opa/limits.ts';
import { compile, withFile } from './bundles.ts';

async function prepare(
  rego: string,
  { limits = {}, paths }: { limits?: Partial<PolicyLimits>; paths?: readonly string[][] } = {},
): Promise<PreparedPolicy> {
  const plain = await compile({ rego: `package t\n${rego}`, entrypoints: ['t/d'] });
  const manifest = {
    wasm: [{ entrypoint: 't/d', module: '/policy.wasm' }],
    metadata: { writ: { input: paths } },
  };
  const bundle = await withFile(plain, '/.manifest', JSON.stringify(manifest));
  const options = { bundle, entrypoint: 't/d', hasClock: true, limits: { ...POLICY_LIMITS, ...limits } };
  return preparePolicy(options, () => undefined);
}

describe('the test that a policy must pass before it runs on the loop', () => {
  it('lets a cheap policy pass, and says what it costs', async () => {
    const policy = await prepare('d if "invoice:read" in split(input.credential.claims.scope, " ")');
    expect(policy.typicalUs).toBeGreaterThan(0);
    expect(policy.typicalUs).toBeLessThan(policy.worstUs);
    expect(policy.worstUs).toBeLessThan(5_000);
  });

  it('refuses one whose cost grows with the square of what a caller sends', async () => {
    const rego = 'd if count([1 | some x in input.context.items; some y in input.context.items; x == y]) > 5';
    await expect(prepare(rego)).rejects.toMatchObject({
      code: 'POLICY_INVALID',
      message: expect.stringMatching(
        /^entrypoint t\/d is too slow: \d+\.\d ms on a large input, 5 ms are allowed$/,
      ) as string,
    });
  });

  it('finds such a cost behind any path that the policy reads', async () => {
    const items = 'input.credential.claims.own.list';
    const rego = `d if count([1 | some x in ${items}; some y in ${items}; x == y]) > 5`;
    const paths = [['credential', 'claims', 'own', 'list']];
    await expect(prepare(rego, { paths })).rejects.toThrow('entrypoint t/d is too slow');
  });

  it('refuses one that needs more memory than there is', async () => {
    const rego = 'd if count(numbers.range(1, 200000)) > 5';
    const limits = { heapBytes: 1024 * 1024, evaluationMsMax: 60_000 };
    await expect(prepare(rego, { limits })).rejects.toThrow(
      'entrypoint t/d trapped in its self-test: policy out of memory',
    );
  });

  it('refuses one whose answer is none, to an ordinary request and to none', async () => {
    const said = 'entrypoint t/d answers no request: ';
    await expect(prepare('d := "yes"')).rejects.toThrow(
      `${said}answer is neither a boolean nor an object with a boolean allow`,
    );
    await expect(prepare('d := {"allow": true, "reason": 7}')).rejects.toThrow(
      `${said}the reason in the answer is not a string`,
    );
    await expect(prepare('d := 7 if input.resource')).rejects.toThrow(said);
    await expect(
      prepare('d := "no subject" if not input.subject\nd if input.subject'),
    ).resolves.toBeDefined();
    await expect(prepare('d if input.resource.id == "never"')).resolves.toBeDefined();
    await expect(prepare('d.allow := true if input.resource.id == "never"')).resolves.toBeDefined();
  });

  it('lets one pass that contradicts itself on odd input: it denies there', async () => {
    await expect(prepare('d := 1 if input.now\nd := 2 if input.grants')).resolves.toMatchObject({
      isPure: true,
    });
  });

  it('is over when its time is, however slow the policy: the thread is ended', async () => {
    const rego =
      'package t\nd if count([1 | some i in numbers.range(1, 3000); some j in numbers.range(1, 3000); i == j]) > 5';
    const bundle = await compile({ rego, entrypoints: ['t/d'] });
    const startedMs = performance.now();
    await expect(openPolicyEngine({ bundle, entrypoint: 't/d', limits: { selfTestMs: 50 } })).rejects.toThrow(
      'the policy is too slow: its self-test did not end',
    );
    expect(performance.now() - startedMs).toBeLessThan(10_000);
  });

  it('finds nothing to fill in a policy that reads nothing', async () => {
    await expect(prepare('d := true', { paths: [] })).resolves.toMatchObject({ inputPaths: [] });
  });
});
