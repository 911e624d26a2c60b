/** JSON Schema (draft 2020-12, the part that our document uses) -> values that it takes, and values close to those. */
import fc from 'fast-check';

export type Schema = Readonly<Record<string, unknown>>;

const SMALL = { maxDepth: 2, maxKeys: 3 } as never;
const COUNT_MAX = 3;
const CHARS_MAX = 40;

/** Values that `schema` takes. Throws for a form that it does not know: then the arbitrary would say nothing. */
export function arbitraryOf(schema: Schema): fc.Arbitrary<unknown> {
  if ('const' in schema) return fc.constant(schema['const']);
  if (Array.isArray(schema['enum'])) return fc.constantFrom(...(schema['enum'] as unknown[]));
  if (schema['type'] === 'object') return objectOf(schema);
  const forms = schema['anyOf'] ?? schema['oneOf'];
  if (Array.isArray(forms)) return fc.oneof(...(forms as Schema[]).map(arbitraryOf));
  switch (schema['type']) {
    case 'array':
      return arrayOf(schema);
    case 'string':
      return stringOf(schema);
    case 'integer':
      return fc.integer({
        min: Math.max(Number(schema['minimum'] ?? 0), -1_000_000),
        max: Math.min(Number(schema['maximum'] ?? 1_000_000), 1_000_000),
      });
    case 'boolean':
      return fc.boolean();
    case undefined:
      return fc.jsonValue(SMALL);
    default:
      throw new Error(`no arbitrary for ${JSON.stringify(schema)}`);
  }
}

function objectOf(schema: Schema): fc.Arbitrary<Record<string, unknown>> {
  const properties = (schema['properties'] ?? {}) as Record<string, Schema>;
  const required = (schema['required'] ?? []) as string[];
  const members = Object.fromEntries(
    Object.entries(properties).map(([name, member]) => [name, arbitraryOf(member)]),
  );
  const own = fc.record(members, { requiredKeys: required });
  const choices = ((schema['oneOf'] ?? []) as { required: string[] }[]).map((one) => one.required);
  const chosen = choices.length === 0 ? own : chosenOf(members, required, choices);
  if (schema['additionalProperties'] === false || schema['additionalProperties'] === undefined) return chosen;
  const others = fc.dictionary(fc.stringMatching(/^x[a-z]{1,6}$/), fc.jsonValue(SMALL), { maxKeys: 2 });
  return fc.tuple(others, chosen).map(([extra, record]) => ({ ...extra, ...record }));
}

/** Exactly one of several sets of members. */
function chosenOf(
  members: Record<string, fc.Arbitrary<unknown>>,
  required: string[],
  choices: readonly string[][],
): fc.Arbitrary<Record<string, unknown>> {
  return fc.oneof(
    ...choices.map((choice) => {
      const others = choices.flat().filter((name) => !choice.includes(name));
      const kept = Object.fromEntries(Object.entries(members).filter(([name]) => !others.includes(name)));
      return fc.record(kept, { requiredKeys: [...required, ...choice] });
    }),
  );
}

function arrayOf(schema: Schema): fc.Arbitrary<unknown[]> {
  return fc.array(arbitraryOf((schema['items'] ?? {}) as Schema), {
    minLength: Number(schema['minItems'] ?? 0),
    maxLength: Math.min(Number(schema['maxItems'] ?? COUNT_MAX), COUNT_MAX),
  });
}

function stringOf(schema: Schema): fc.Arbitrary<string> {
  if (schema['format'] === 'date-time')
    return fc
      .date({ min: new Date('1971-01-01'), max: new Date('2026-01-01'), noInvalidDate: true })
      .map((at) => at.toISOString());
  if (typeof schema['pattern'] === 'string') return fc.stringMatching(new RegExp(schema['pattern']));
  return fc.string({
    unit: 'grapheme',
    minLength: Number(schema['minLength'] ?? 0),
    maxLength: Math.min(Number(schema['maxLength'] ?? CHARS_MAX), CHARS_MAX),
  });
}

/** `value` with one thing changed somewhere: gone, of another kind, or there although nobody knows it. */
export function mutantOf(value: unknown): fc.Arbitrary<unknown> {
  const paths = pathsOf(value);
  const odd = fc.oneof(
    fc.constantFrom<unknown>(null, true, 0, -1, 1e300, '', 'x'.repeat(9_000), '\u0000', [], {}, [[]]),
    fc.jsonValue(SMALL),
  );
  return fc
    .tuple(fc.constantFrom(...paths), fc.constantFrom('remove', 'replace', 'add'), odd)
    .map(([path, what, by]) => changed(value, path, what, by));
}

function pathsOf(value: unknown, path: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== 'object' || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([name, inner]) => pathsOf(inner, [...path, name]))];
}

function changed(value: unknown, [step, ...rest]: readonly string[], what: string, by: unknown): unknown {
  if (step === undefined)
    return what === 'add' && typeof value === 'object' && value !== null && !Array.isArray(value)
      ? { ...value, unheardOf: by }
      : by;
  const copy = (Array.isArray(value) ? [...(value as unknown[])] : { ...(value as object) }) as Record<
    string,
    unknown
  >;
  if (rest.length === 0 && what === 'remove') Reflect.deleteProperty(copy, step);
  else copy[step] = changed(copy[step], rest, what, by);
  return Array.isArray(copy) ? (copy as unknown[]).filter((one) => one !== undefined) : copy;
}
