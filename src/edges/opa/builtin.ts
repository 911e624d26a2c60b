/**
 * The builtins that a policy may call back into the host for. OPA compiles most of its builtins into the module;
 * what is neither there nor here refuses the bundle by name, so that no rule is silently undefined.
 */
import type { Clock } from '../../kernel/clock.ts';

export interface HostBuiltin {
  /** False when its result is not always the same: then no answer may be kept. */
  readonly isPure: boolean;
  /** JSON text of the result. Called at most once in an evaluation, as OPA does it. */
  call(): string;
}

export type HostBuiltins = ReadonlyMap<string, HostBuiltin>;

/** `time.now_ns`, where the host has a clock. Everything else that OPA leaves to the host is refused. */
export function hostBuiltins(clock: Clock | undefined): HostBuiltins {
  const builtins = new Map<string, HostBuiltin>();
  if (clock !== undefined)
    builtins.set('time.now_ns', { isPure: false, call: () => `${Math.trunc(clock.now().wallMs)}000000` });
  return builtins;
}
