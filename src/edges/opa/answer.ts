/** What the bytes of a result mean: the decision entrypoint's answer, and any entrypoint's value. Never a guess. */
import { isJsonObject } from '../../kernel/json.ts';
import type { PolicyAnswer, PolicyValue } from '../../decision/policy-engine.ts';
import { decodeUtf8 } from './instance.ts';

const NOT_AN_ANSWER: PolicyAnswer = {
  kind: 'error',
  detail: 'answer is neither a boolean nor an object with a boolean allow',
};

const NOT_JSON = { kind: 'error', detail: 'result is not JSON' } as const;

const UNDEFINED = { kind: 'undefined' } as const;

/** The answer in a result set of opa_eval. `latin1`: its bytes. */
export function parseAnswer(latin1: string): PolicyAnswer {
  const said = parseValue(latin1);
  if (said.kind !== 'value') return said;
  const { value } = said;
  if (typeof value === 'boolean') return Object.freeze({ kind: 'answer', allow: value });
  if (!isJsonObject(value) || typeof value['allow'] !== 'boolean') return NOT_AN_ANSWER;
  const { allow, reason, obligations } = value;
  if (reason !== undefined && typeof reason !== 'string') return NOT_A_REASON;
  return Object.freeze({
    kind: 'answer',
    allow,
    ...(reason === undefined ? {} : { reason }),
    ...(obligations === undefined ? {} : { obligations }),
  });
}

const NOT_A_REASON: PolicyAnswer = { kind: 'error', detail: 'the reason in the answer is not a string' };

/** The value in a result set: one element, or none when it is undefined. */
export function parseValue(latin1: string): PolicyValue {
  if (latin1 === '[]') return UNDEFINED;
  try {
    const [first] = JSON.parse(decodeUtf8(latin1)) as readonly { readonly result: unknown }[];
    return { kind: 'value', value: first?.result };
  } catch {
    // OPA keeps a number as the text it was written in; json.unmarshal lets through some that JSON has not.
    return NOT_JSON;
  }
}
