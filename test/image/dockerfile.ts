/** Reads the few forms of a Dockerfile that ours uses; throws for any other, so that none is passed over in silence. */

export interface Instruction {
  readonly name: string;
  readonly text: string;
}

export interface Stage {
  readonly base: string;
  readonly alias: string | undefined;
  readonly instructions: readonly Instruction[];
}

export interface Copy {
  /** The stage it copies from; undefined: the context. */
  readonly from: string | undefined;
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  readonly sources: readonly string[];
  readonly target: string;
}

const NAMES = new Set([
  ...['WORKDIR', 'COPY', 'RUN', 'ENV', 'USER', 'VOLUME', 'EXPOSE', 'HEALTHCHECK', 'ENTRYPOINT', 'CMD'],
]);

export function parseDockerfile(text: string): readonly Stage[] {
  const stages: { base: string; alias: string | undefined; instructions: Instruction[] }[] = [];
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const [, name = '', rest = ''] = /^([A-Z]+) (.+)$/.exec(line) ?? [];
    const [, base, alias] = name === 'FROM' ? (/^(\S+)(?: AS (\S+))?$/.exec(rest) ?? []) : [];
    const stage = stages.at(-1);
    if (base !== undefined) stages.push({ base, alias, instructions: [] });
    else if (stage !== undefined && NAMES.has(name)) stage.instructions.push({ name, text: rest });
    else throw new Error(`a line of the Dockerfile is of no form that is known here: ${line}`);
  }
  return stages;
}

export function parseCopy(text: string): Copy {
  const words = text.split(' ');
  const flags = new Map(
    words.filter((word) => word.startsWith('--')).map((word) => word.slice(2).split('=') as [string, string]),
  );
  for (const flag of flags.keys())
    if (flag !== 'from' && flag !== 'chown') throw new Error(`COPY --${flag} is not known here`);
  const paths = words.filter((word) => !word.startsWith('--'));
  const [, uid, gid] = /^(\d+):(\d+)$/.exec(flags.get('chown') ?? '') ?? [];
  return {
    from: flags.get('from'),
    owner: uid === undefined ? undefined : { uid: Number(uid), gid: Number(gid) },
    sources: paths.slice(0, -1),
    target: paths.at(-1) ?? '',
  };
}

/** `ENV A=b C=d`, without quotes. */
export function parseEnv(text: string): Readonly<Record<string, string>> {
  return Object.fromEntries(text.split(' ').map((word) => word.split('=') as [string, string]));
}

/** The JSON form of ENTRYPOINT, CMD, VOLUME and of HEALTHCHECK's command. */
export function parseWords(text: string): readonly string[] {
  return JSON.parse(text.slice(text.indexOf('['))) as string[];
}
