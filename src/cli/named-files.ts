/**
 * Files that the configuration names, on the machine that is to serve: `writ config check` warns of what cannot be had,
 * because it may be checked somewhere else (who serves refuses to start without), and both warn of secrets left open.
 */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Config, Problem } from '../config/config.ts';

export function missingFiles({ settings: _settings, ...config }: Config): Problem[] {
  return walk(config, '').flatMap(({ key, file }) => {
    // The decision log is written, and made where there is none; all others are read.
    const isLog = key === 'telemetry.decisionLog.file';
    const written = existsSync(file) ? file : dirname(file);
    const code = isLog ? failureOf(written, constants.W_OK) : failureOf(file, constants.R_OK);
    if (code === undefined) return [];
    return [{ key, message: `cannot be ${isLog ? 'written' : 'read'} on this machine (${code})` }];
  });
}

/** Passwords and tokens that every user of the machine can read: keys are refused, but these are often given out so. */
export function openSecrets({ settings: _settings, ...config }: Config): Problem[] {
  return walk(config, '').flatMap(({ key, file }) => {
    const mode = /(password|token|headers)File$/i.test(key)
      ? (statSync(file, { throwIfNoEntry: false })?.mode ?? 0)
      : 0;
    if ((mode & 0o004) === 0) return [];
    const octal = (mode & 0o777).toString(8);
    return [
      { key, message: `${file} can be read by every user of this machine (mode ${octal}): chmod 600 it` },
    ];
  });
}

/** Members that name a file, by the last word of their key. */
const NAMES_FILE = /(^|[a-z])[fF]ile$|^bundle$/;

function walk(node: object, path: string): { key: string; file: string }[] {
  return Object.entries(node).flatMap(([name, value]: [string, unknown]) => {
    const step = Array.isArray(node) ? `[${name}]` : path === '' ? name : `.${name}`;
    if (typeof value === 'string' && NAMES_FILE.test(name)) return [{ key: path + step, file: value }];
    return typeof value === 'object' && value !== null ? walk(value, path + step) : [];
  });
}

function failureOf(path: string, mode: number): string | undefined {
  try {
    accessSync(path, mode);
    return undefined;
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}
