/**
 * Finds and runs the `opa` command for `writ policy`. Writ itself needs none: a server only loads what opa built.
 * Always by an absolute path, with an environment of nothing, because opa takes flags from its environment too.
 */
import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WritError } from '../kernel/error.ts';

/** Absolute path of the command. */
export type OpaPath = string;

export interface OpaRun {
  /** 0 where it did what it was asked to. */
  readonly exitCode: number;
  readonly output: string;
  readonly problems: string;
}

const NOT_FOUND =
  'opa was not found: install it (go install github.com/open-policy-agent/opa@v1.22.2), or name it with --opa or WRIT_OPA';
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;
const RUN_MS = 120_000;

/** `named` (of --opa), WRIT_OPA, the PATH, then the checkout's `.cache/bin`. What is named must be there. */
export function findOpa(
  named: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): OpaPath {
  const chosen = named ?? env['WRIT_OPA'];
  const candidates = chosen === undefined ? everywhere(env['PATH'] ?? '') : [resolve(chosen)];
  const found = candidates.find(isExecutable);
  if (found !== undefined) return found;
  throw new WritError('CONFIG_INVALID', chosen === undefined ? NOT_FOUND : `there is no opa at ${chosen}`);
}

function everywhere(path: string): string[] {
  const directories = path.split(delimiter).filter((directory) => isAbsolute(directory));
  const cached = fileURLToPath(new URL('../../.cache/bin', import.meta.url));
  return [...directories, cached].map((directory) => join(directory, 'opa'));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Runs opa in `dir`. An exit code is a value; only an opa that cannot be run, or does not end, is thrown. */
export function runOpa(opa: OpaPath, dir: string, args: readonly string[]): Promise<OpaRun> {
  const options = { cwd: dir, env: {}, maxBuffer: OUTPUT_BYTES_MAX, timeout: RUN_MS };
  return new Promise((resolved, rejected) => {
    execFile(opa, args, options, (error, output, problems) => {
      const exitCode = error === null ? 0 : error.code;
      if (typeof exitCode === 'number') resolved({ exitCode, output, problems });
      else if (!existsSync(dir)) rejected(new WritError('CONFIG_INVALID', `there is no directory ${dir}`));
      else rejected(new WritError('CONFIG_INVALID', `opa could not be run in ${dir}`, { cause: error }));
    });
  });
}

/** The output of a run that must succeed. POLICY_INVALID carries what opa said: it names file and line. */
export async function requireOpa(opa: OpaPath, dir: string, args: readonly string[]): Promise<string> {
  const { exitCode, output, problems } = await runOpa(opa, dir, args);
  if (exitCode === 0) return output;
  throw new WritError('POLICY_INVALID', `opa ${args[0] ?? ''}: ${`${output}${problems}`.trim()}`);
}

/** Before 1.21.0 `opa deps` overlooks what only an `else` reads, and such a bundle would be given too little. */
export async function requireOpaVersion(opa: OpaPath): Promise<void> {
  const output = await requireOpa(opa, '.', ['version']);
  const [, major = '0', minor = '0'] = /^Version: (\d+)\.(\d+)\./m.exec(output) ?? [];
  if (Number(major) > 1 || (Number(major) === 1 && Number(minor) >= 21)) return;
  throw new WritError('CONFIG_INVALID', 'this opa is too old: 1.21.0 or later is needed');
}
