import { chmod, readFile, readdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { buildPolicy, findInputPaths } from '../../src/cli/build-policy.ts';
import { findOpa } from '../../src/cli/opa-command.ts';
import { policyCommand } from '../../src/cli/policy.ts';
import type { PolicyPorts } from '../../src/cli/policy.ts';
import { readBundle, readBundleFiles } from '../../src/edges/opa/bundle.ts';
import { openPolicyEngine } from '../../src/edges/opa/engine.ts';
import { PolicyHost } from '../../src/edges/opa/host.ts';
import { buildImage } from '../../src/edges/opa/image.ts';
import { POLICY_LIMITS } from '../../src/edges/opa/limits.ts';
import { compileModule } from '../../src/edges/opa/module.ts';
import { createInputRenderer } from '../../src/edges/opa/projection.ts';
import type { Json, JsonObject } from '../../src/kernel/json.ts';
import { compile, compileFiles, withDirectory, writeFiles } from '../edges/opa/bundles.ts';
import { peerPath } from '../support/peers.ts';

const OPA = peerPath('opa');

const AUTHZ = `package writ.authz
default decision := false
decision if input.subject.id == data.names[_]
`;

interface Run {
  readonly lines: string[];
  readonly error: unknown;
}

/** Runs `writ policy …` and returns what it printed and threw. */
async function writ(args: readonly string[], env: PolicyPorts['env'] = { WRIT_OPA: OPA }): Promise<Run> {
  const lines: string[] = [];
  const policy = policyCommand({
    env,
    openEngine: openPolicyEngine,
    readFiles: (bundle) => readBundleFiles(bundle),
    print: (line) => lines.push(line),
  });
  const program = new Command('writ').addCommand(policy);
  for (const command of [program, policy, ...policy.commands])
    command.exitOverride().configureOutput({ writeOut: () => undefined, writeErr: () => undefined });
  try {
    await program.parseAsync(['policy', ...args], { from: 'user' });
    return { lines, error: undefined };
  } catch (error) {
    return { lines, error };
  }
}

const refused = (code: string, message: RegExp): unknown =>
  expect.objectContaining({ name: 'WritError', code, message: expect.stringMatching(message) as string });

describe('writ policy build', () => {
  it('writes a bundle that names what it reads, and says what is in it', async () => {
    await withDirectory(async (dir) => {
      await writeFiles(dir, { 'src/a.rego': AUTHZ, 'src/names.json': '{"names":["billing"]}' });
      const out = join(dir, 'out.tar.gz');
      const { lines, error } = await writ(['build', join(dir, 'src'), '-o', out]);
      expect(error).toBeUndefined();
      const bundle = await readBundle(await readFile(out));
      expect(bundle.inputPaths).toEqual([['subject', 'id']]);
      expect(lines[0]).toBe(`digest       ${bundle.digest}`);
      expect(lines.slice(1, 5)).toEqual([
        'entrypoints  writ/authz/decision',
        'reads input  subject.id',
        'host calls   none',
        'pure         yes',
      ]);
      expect(lines[5]).toMatch(/^cost {9}\d+\.\d µs, \d+\.\d µs on the worst input tried$/);
      const engine = await openPolicyEngine({
        bundle: await readFile(out),
        entrypoint: 'writ/authz/decision',
      });
      expect(engine.decide({ subject: { id: 'billing' } })).toEqual({ kind: 'answer', allow: true });
      expect(engine.decide({ subject: { id: 'other' } })).toEqual({ kind: 'answer', allow: false });
      expect((await readdir(dir)).sort()).toEqual(['out.tar.gz', 'src']);
    });
  });

  it('writes the revision it is given, by which a server tells which bundle is older', async () => {
    await withDirectory(async (dir) => {
      await writeFiles(dir, { 'src/a.rego': AUTHZ });
      const out = join(dir, 'out.tar.gz');
      const { lines, error } = await writ(['build', join(dir, 'src'), '-o', out, '--revision', '42']);
      expect(error).toBeUndefined();
      expect(lines[1]).toBe('revision     42');
      expect(lines.join()).not.toContain('older');
      const bundle = await readBundle(await readFile(out));
      expect(bundle.revision).toBe('42');
      expect(bundle.inputPaths).toEqual([['subject', 'id']]);
      const named = await writ(['build', join(dir, 'src'), '-o', out, '--revision', 'v42']);
      expect(named.lines.at(-1)).toBe('no server can tell what is older than revision v42');
    });
  });

  it('leaves tests and older bundles out, and nothing behind', async () => {
    await withDirectory(async (dir) => {
      await writeFiles(dir, { 'a.rego': AUTHZ });
      const first = join(dir, 'first.tar.gz');
      await writ(['build', dir, '-o', first]);
      await writeFiles(dir, { 'a_test.rego': 'package writ.authz_test\ntest_x if true\n' });
      const before = await readdir(tmpdir());
      const second = join(dir, 'second.tar.gz');
      expect((await writ(['build', dir, '-o', second])).error).toBeUndefined();
      expect((await readFile(second)).equals(await readFile(first))).toBe(true);
      const left = (await readdir(tmpdir())).filter(
        (name) => name.startsWith('writ-policy-') && !before.includes(name),
      );
      expect(left).toEqual([]);
    });
  });

  it('takes several entrypoints, whose input paths are joined', async () => {
    await withDirectory(async (dir) => {
      const other = 'package other\nseen := input.action if input.subject\n';
      await writeFiles(dir, { 'a.rego': AUTHZ, 'b.rego': other });
      const out = join(dir, 'out.tar.gz');
      const args = ['build', dir, '-o', out, '-e', 'writ/authz/decision', '-e', 'other/seen', '--json'];
      const { lines, error } = await writ(args);
      expect(error).toBeUndefined();
      expect(JSON.parse(lines.join(''))).toMatchObject({
        entrypoints: expect.arrayContaining(['writ/authz/decision', 'other/seen']) as string[],
        inputPaths: [['action'], ['subject']],
        isPure: true,
      });
    });
  });

  it('passes the whole input to a policy that may read any of it', async () => {
    await withDirectory(async (dir) => {
      await writeFiles(dir, { 'a.rego': 'package writ.authz\ndecision if input[data.member] == 1\n' });
      const out = join(dir, 'out.tar.gz');
      const { lines } = await writ(['build', dir, '-o', out]);
      expect(lines[2]).toBe('reads input  all of it');
      expect((await readBundle(await readFile(out))).inputPaths).toBeUndefined();
      const json = await writ(['check', out, '--json']);
      expect(JSON.parse(json.lines.join(''))).toMatchObject({ inputPaths: null });
    });
  });

  it('passes nothing to a policy that reads nothing', async () => {
    await withDirectory(async (dir) => {
      await writeFiles(dir, { 'a.rego': 'package writ.authz\ndecision := true\n' });
      const { lines } = await writ(['build', dir, '-o', join(dir, 'out.tar.gz')]);
      expect(lines[2]).toBe('reads input  nothing of it');
    });
  });

  it('replaces nothing with a bundle that no server would load', async () => {
    await withDirectory(async (dir) => {
      const out = join(dir, 'out.tar.gz');
      await writeFile(out, 'the old one');
      await writeFiles(dir, { 'a.rego': 'package writ.authz\ndecision if sprintf("%d", [1]) == "1"\n' });
      const { error } = await writ(['build', dir, '-o', out]);
      expect(error).toEqual(refused('POLICY_INVALID', /^builtin sprintf is not supported/));
      expect(await readFile(out, 'utf8')).toBe('the old one');
      expect((await readdir(dir)).sort()).toEqual(['a.rego', 'out.tar.gz']);
    });
  });

  it("passes on what opa says of the sources, and opa's own line", async () => {
    await withDirectory(async (dir) => {
      await writeFiles(dir, { 'a.rego': 'package writ.authz\ndecision if nonsense(input)\n' });
      const out = join(dir, 'out.tar.gz');
      const { error } = await writ(['build', dir, '-o', out]);
      expect(error).toEqual(
        refused('POLICY_INVALID', /^opa build: .*a\.rego:2: .*undefined function nonsense/s),
      );
      const missing = await writ(['build', dir, '-o', out, '-e', 'writ/authz/nothing']);
      expect(missing.error).toEqual(refused('POLICY_INVALID', /^opa /));
      const nowhere = await writ(['build', join(dir, 'nowhere'), '-o', out]);
      expect(nowhere.error).toEqual(refused('CONFIG_INVALID', /^there is no directory /));
      const unwritable = await writ(['build', 'policies', '-o', join(dir, 'no', 'out.tar.gz')]);
      expect(unwritable.error).toEqual(refused('CONFIG_INVALID', /out\.tar\.gz cannot be written$/));
    });
  });
});

describe('writ policy test', () => {
  it("reports opa's verdict, and fails when a test does", async () => {
    await withDirectory(async (dir) => {
      await writeFiles(dir, { 'a.rego': AUTHZ, 'a_test.rego': 'package a_test\ntest_yes if true\n' });
      const passed = await writ(['test', dir]);
      expect(passed).toEqual({ lines: ['PASS: 1/1'], error: undefined });
      await writeFiles(dir, { 'b_test.rego': 'package b_test\ntest_no if false\n' });
      const failed = await writ(['test', dir]);
      expect(failed.lines.join('\n')).toMatch(/test_no: FAIL/);
      expect(failed.error).toEqual(refused('POLICY_INVALID', /^the policy's tests failed$/));
    });
  });

  it('fails where there is no test: nothing was shown', async () => {
    await withDirectory(async (dir) => {
      await writeFiles(dir, { 'a.rego': AUTHZ });
      expect((await writ(['test', dir])).error).toEqual(refused('POLICY_INVALID', /^no tests in /));
    });
  });

  it('passes for the policy that ships with Writ, which is where it looks by itself', async () => {
    const { lines, error } = await writ(['test']);
    expect(error).toBeUndefined();
    expect(lines.join('')).toMatch(/^PASS: (\d+)\/\1$/);
  });
});

describe('writ policy check', () => {
  it('loads a bundle as a server would, and refuses what a server would', async () => {
    await withDirectory(async (dir) => {
      const file = join(dir, 'b.tar.gz');
      await writeFile(file, await compile({ rego: AUTHZ, entrypoints: ['writ/authz/decision'] }));
      expect((await writ(['check', file])).lines[2]).toBe('reads input  all of it');
      const other = await writ(['check', file, '-e', 'a/b']);
      expect(other.error).toEqual(
        refused('POLICY_INVALID', /^the bundle has no entrypoint a\/b; it has writ\/authz\/decision$/),
      );
      await writeFile(file, 'no bundle');
      expect((await writ(['check', file])).error).toEqual(
        refused('POLICY_INVALID', /^the bundle is truncated or no gzip$/),
      );
      expect((await writ(['check', join(dir, 'none')])).error).toEqual(
        refused('CONFIG_INVALID', /^cannot read .*none$/),
      );
    });
  });

  it('needs no opa', async () => {
    const { error } = await writ(['check', 'policies/bundle.tar.gz'], { WRIT_OPA: '/nowhere' });
    expect(error).toBeUndefined();
  });
});

describe('a command that is spelled wrong', () => {
  it.each([[['build']], [['build', '.']], [['check']], [['test', '--what']], [['nothing']]])(
    'is a usage error: %j',
    async (args) => {
      expect((await writ(args)).error).toBeInstanceOf(CommanderError);
    },
  );
});

describe('opa', () => {
  it('is the one that is named, before WRIT_OPA, before the PATH, before the cache', async () => {
    await withDirectory(async (dir) => {
      for (const place of ['flag', 'env', 'path']) await writeFiles(dir, { [`${place}/opa`]: '#!/bin/sh\n' });
      for (const place of ['flag', 'env', 'path']) await chmod(join(dir, place, 'opa'), 0o755);
      const env = { WRIT_OPA: join(dir, 'env/opa'), PATH: `relative:/nowhere:${join(dir, 'path')}` };
      expect(findOpa(join(dir, 'flag/opa'), env)).toBe(join(dir, 'flag/opa'));
      expect(findOpa(undefined, env)).toBe(join(dir, 'env/opa'));
      expect(findOpa(undefined, { PATH: env.PATH })).toBe(join(dir, 'path/opa'));
      expect(() => findOpa(join(dir, 'no/opa'), env)).toThrow(`there is no opa at ${join(dir, 'no/opa')}`);
      expect(() => findOpa(undefined, { WRIT_OPA: join(dir, 'flag') + '/none' })).toThrow(
        'there is no opa at',
      );
      await chmod(join(dir, 'path/opa'), 0o644);
      const isRoot = process.getuid?.() === 0;
      if (!isRoot) expect(() => findOpa(join(dir, 'path/opa'), env)).toThrow('there is no opa at');
    });
  });

  it('is refused when it is too old to find everything that a policy reads', async () => {
    await withDirectory(async (dir) => {
      const old = join(dir, 'opa');
      await writeFile(old, '#!/bin/sh\necho "Version: 1.20.2"\n');
      await chmod(old, 0o755);
      await writeFiles(dir, { 'p/a.rego': AUTHZ });
      const { error } = await writ(['build', join(dir, 'p'), '-o', join(dir, 'o.tar.gz'), '--opa', old]);
      expect(error).toEqual(refused('CONFIG_INVALID', /^this opa is too old: 1.21.0 or later is needed$/));
    });
  });

  it('takes no flags from the environment', async () => {
    await withDirectory(async (dir) => {
      await writeFiles(dir, { 'p/a.rego': AUTHZ });
      const build = (out: string): Promise<Run> =>
        writ(['build', join(dir, 'p'), '-o', out], { WRIT_OPA: OPA });
      await build(join(dir, 'a.tar.gz'));
      process.env['OPA_BUILD_REVISION'] = 'other';
      try {
        await build(join(dir, 'b.tar.gz'));
      } finally {
        delete process.env['OPA_BUILD_REVISION'];
      }
      expect((await readFile(join(dir, 'a.tar.gz'))).equals(await readFile(join(dir, 'b.tar.gz')))).toBe(
        true,
      );
    });
  });
});

/** Rules that read the input in every way that Rego has; what `opa deps` overlooks here, a policy would not be given. */
const READERS: Readonly<Record<string, string>> = {
  head: 'd := input.a.b',
  or: 'd := 1 if { input.a } else := input.b if { input.c } else := 3',
  alias: 'd if { x := input.a; input.a.b == 1 }\nd if { y := input.c; y.a; not y.b }',
  // opa deps names a.b only: that a is there, and of whatever kind, must still be seen.
  covered: 'd := 1 if { input.a.b == 1 } else := 2 if { _ := input.a } else := 3',
  whole: 'd := object.get(input, ["a", "b"], object.get(input.c, "a", 0))',
  dynamic: 'd := x if { x := input.a[input.b] }',
  negated: 'd if { not input.a.b; not input.c }',
  everyone: 'd if every k, v in input.a { v == input.b[k] }',
  numbered: 'd := [input.a[0], input.b[_]]',
  template: 'd := $"{input.a.b}-{input.c}"',
  called: 'f(x) := x.a if x.b\nf(x) := 7 if not x.b\nd := f(input.a)',
  pattern: 'd := x if { {"a": x, "b": _} = input.a }',
  membership: 'd if { some k, v in input.a; input.b[k] == v }\nd if 1 in input.c.a',
  comprehension: 'd := {k: v | some k; v := input.a[k]; not input.b[v]}',
  outer: 'd := count([1 | x := input; y := x.a; y.b]) + count([1 | input.c == input.b])',
  replaced:
    'q := object.get(input, "a", 0)\nd := [x, y] if { x := q with input.a as input.b; y := q with input as input.c }',
  presence: 'd if { x := input.a }\nd if { _ = input.b.a }',
  walked: 'd := count([1 | walk(input.a, [_, v]); v == input.b])',
  nested: 'd := data.lookup[input.a.b][input.c]',
};

describe('the input paths of a policy', () => {
  it('hold everything that can change its answer', async () => {
    await withDirectory(async (dir) => {
      const names = Object.keys(READERS);
      const rego = names.map((name) => [`${name}.rego`, `package ${name}\n${READERS[name]}\n`] as const);
      const files = { ...Object.fromEntries(rego), 'data.json': '{"lookup":{"1":{"1":true},"x":{"x":2}}}' };
      await writeFiles(dir, files);
      const host = await openHost(files);
      const renderers = new Map<string, (input: JsonObject) => string>();
      for (const name of names)
        renderers.set(name, createInputRenderer(await findInputPaths(OPA, dir, [`${name}/d`])));
      const member = fc.constantFrom('a', 'b', 'c', 'x', '0');
      const { value } = fc.letrec<{ value: Json }>((tie) => ({
        value: fc.oneof(
          { maxDepth: 3 },
          fc.constantFrom<Json>(null, true, false, 0, 1, 'x', 'a', {}, []),
          fc.dictionary(member, tie('value'), { maxKeys: 3 }),
          fc.array(tie('value'), { maxLength: 2 }),
        ),
      }));
      fc.assert(
        fc.property(fc.dictionary(member, value, { maxKeys: 4 }), (drawn) => {
          const input = JSON.parse(JSON.stringify(drawn)) as JsonObject;
          for (const [name, render] of renderers)
            expect([name, host(name, render(input))]).toEqual([name, host(name, JSON.stringify(input))]);
        }),
        { numRuns: 1_500 },
      );
      const isProjected = names.filter((name) => renderers.get(name)?.({ z: 1 }) === '{}');
      expect(isProjected).toEqual(names.filter((name) => !['whole', 'outer', 'replaced'].includes(name)));
    });
  });

  it('are refused rather than guessed when opa answers something unknown', async () => {
    await withDirectory(async (dir) => {
      const strange = join(dir, 'opa');
      await writeFile(strange, '#!/bin/sh\necho \'{"base":[["input"]]}\'\n');
      await chmod(strange, 0o755);
      await expect(findInputPaths(strange, dir, ['a/b'])).rejects.toThrow(
        'opa deps answered something unknown',
      );
    });
  });

  it('are built into a bundle that is the same, whatever the entrypoints are called', async () => {
    await withDirectory(async (dir) => {
      await writeFiles(dir, { 'a.rego': 'package a["b-c"]\nd := input["x y"].z\n' });
      const readFiles = (bundle: Uint8Array): ReturnType<typeof readBundleFiles> => readBundleFiles(bundle);
      const { inputPaths } = await buildPolicy({ opa: OPA, dir, entrypoints: ['a/b-c/d'], readFiles });
      expect(inputPaths).toEqual([['x y', 'z']]);
    });
  });
});

/** Evaluates `<name>/d` of READERS. */
async function openHost(
  files: Readonly<Record<string, string>>,
): Promise<(name: string, json: string) => unknown> {
  const bundle = await compileFiles(
    files,
    Object.keys(READERS).map((name) => `${name}/d`),
  );
  const { wasm, data } = await readBundle(bundle);
  const module = compileModule(wasm);
  const builtins = new Map<string, never>();
  const { image, memory } = buildImage(module, data, builtins, POLICY_LIMITS);
  const host = await PolicyHost.open({ module, image, builtins, limits: POLICY_LIMITS }, memory);
  return (name, json) => host.evaluate(image.entrypoints.get(`${name}/d`) ?? -1, json);
}
