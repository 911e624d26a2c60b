/** `writ policy build | test | check`: offline, no server. Exit 1 is a WritError that is thrown, 2 is commander's. */
import { readFile } from 'node:fs/promises';
import { Command } from 'commander';
import { isOrdered } from '../decision/revision.ts';
import { WritError } from '../kernel/error.ts';
import { buildPolicy, writeBundle } from './build-policy.ts';
import { findOpa, runOpa } from './opa-command.ts';
import { cell } from './terminal.ts';

/** A bundle that was loaded and tested as a server would (edges/opa/engine.ts). */
export interface CheckedPolicy {
  readonly revision: {
    readonly digest: string;
    readonly revision?: string;
    readonly entrypoints: readonly string[];
    readonly isPure: boolean;
  };
  readonly facts: {
    readonly builtins: readonly string[];
    readonly inputPaths: readonly (readonly string[])[] | undefined;
    readonly typicalUs: number;
    readonly worstUs: number;
  };
}

export interface PolicyPorts {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly openEngine: (options: { bundle: Uint8Array; entrypoint: string }) => Promise<CheckedPolicy>;
  readonly readFiles: (bundle: Uint8Array) => Promise<ReadonlyMap<string, Uint8Array>>;
  /** One line on standard output. */
  readonly print: (line: string) => void;
}

const DECISION = 'writ/authz/decision';

interface OpaFlag {
  readonly opa?: string;
}

interface BuildFlags extends OpaFlag {
  readonly output: string;
  readonly entrypoint?: readonly string[];
  readonly revision?: string;
  readonly json?: true;
}

interface CheckFlags {
  readonly entrypoint: string;
  readonly json?: true;
}

export function policyCommand(ports: PolicyPorts): Command {
  const command = new Command('policy').description('build, test and check policy bundles');
  command
    .command('build')
    .description('compile Rego and data into a bundle, and check it')
    .argument('<dir>', 'directory of the sources')
    .requiredOption('-o, --output <file>', 'where the bundle goes')
    .option('-e, --entrypoint <path>', `rule to be asked, repeatable (default: ${DECISION})`, collect)
    .option(
      '-r, --revision <text>',
      'what it is called: a whole number or an RFC 3339 instant never goes back',
    )
    .option('--opa <file>', 'the opa command')
    .option('--json', 'for programs')
    .action((dir: string, flags: BuildFlags) => build(ports, dir, flags));
  command
    .command('test')
    .description("run the policy's tests with opa")
    .argument('[dir]', 'directory of the sources', 'policies')
    .option('--opa <file>', 'the opa command')
    .action((dir: string, flags: OpaFlag) => test(ports, dir, flags));
  command
    .command('check')
    .description('load a bundle as a server would, and measure it')
    .argument('<bundle>', 'file')
    .option('-e, --entrypoint <path>', 'rule that decides', DECISION)
    .option('--json', 'for programs')
    .action((file: string, flags: CheckFlags) => check(ports, file, flags));
  return command;
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

async function build(ports: PolicyPorts, dir: string, flags: BuildFlags): Promise<void> {
  const opa = findOpa(flags.opa, ports.env);
  const entrypoints = flags.entrypoint ?? [DECISION];
  const { revision } = flags;
  const { bundle } = await buildPolicy({ opa, dir, entrypoints, revision, readFiles: ports.readFiles });
  // Before it is written: what no server would load replaces nothing.
  const policy = await ports.openEngine({ bundle, entrypoint: entrypoints[0] ?? DECISION });
  await writeBundle(bundle, flags.output);
  printPolicy(ports, policy, flags.json === true);
  if (revision !== undefined && !isOrdered(revision) && flags.json !== true)
    ports.print(`no server can tell what is older than revision ${cell(revision)}`);
}

async function test(ports: PolicyPorts, dir: string, flags: OpaFlag): Promise<void> {
  const opa = findOpa(flags.opa, ports.env);
  const { exitCode, output, problems } = await runOpa(opa, dir, ['test', '--ignore', '*.tar.gz', '.']);
  ports.print(`${output}${problems}`.trimEnd());
  if (exitCode !== 0) throw new WritError('POLICY_INVALID', "the policy's tests failed");
  if (!/^(PASS|FAIL|SKIPPED): \d/m.test(output)) throw new WritError('POLICY_INVALID', `no tests in ${dir}`);
}

async function check(ports: PolicyPorts, file: string, flags: CheckFlags): Promise<void> {
  const bundle = await readFile(file).catch((cause: unknown) => {
    throw new WritError('CONFIG_INVALID', `cannot read ${file}`, { cause });
  });
  printPolicy(ports, await ports.openEngine({ bundle, entrypoint: flags.entrypoint }), flags.json === true);
}

function printPolicy(ports: PolicyPorts, { revision, facts }: CheckedPolicy, isJson: boolean): void {
  if (isJson) {
    ports.print(JSON.stringify({ ...revision, ...facts, inputPaths: facts.inputPaths ?? null }));
    return;
  }
  const input = facts.inputPaths?.map((path) => path.join('.')).join(', ') ?? 'all of it';
  ports.print(`digest       ${revision.digest}`);
  if (revision.revision !== undefined) ports.print(`revision     ${cell(revision.revision)}`);
  ports.print(`entrypoints  ${cell(revision.entrypoints.join(', '))}`);
  ports.print(`reads input  ${input === '' ? 'nothing of it' : cell(input)}`);
  ports.print(`host calls   ${facts.builtins.length === 0 ? 'none' : cell(facts.builtins.join(', '))}`);
  ports.print(`pure         ${revision.isPure ? 'yes' : 'no: no answer may be kept'}`);
  ports.print(
    `cost         ${facts.typicalUs.toFixed(1)} µs, ${facts.worstUs.toFixed(1)} µs on the worst input tried`,
  );
}
