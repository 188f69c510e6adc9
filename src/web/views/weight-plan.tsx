// What a chosen model's weights would take as each type, and the button that loads it.

import type { JSX } from 'preact';
import { useId } from 'preact/hooks';
import type { ModelPlan } from '../protocol/session.ts';
import { dtype, loadPlanned } from '../state/model-choice.ts';
import { bytesText } from './format.ts';

export function WeightPlanView({ plan: { choice, rows, limit } }: { readonly plan: ModelPlan }): JSX.Element {
  const name = useId();
  const title = choice.kind === 'hub' ? choice.id : choice.name;
  return (
    <fieldset class="weight-plan">
      <legend>{title}</legend>
      <table>
        <caption class="hidden">What the weights take on this device</caption>
        <thead>
          <tr>
            <th scope="col">weights as</th>
            <th scope="col">take</th>
            <th scope="col">largest buffer</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ dtype: type, bytes, largest }) => (
            <tr key={type ?? 'file'}>
              <th scope="row">
                <label>
                  <input
                    type="radio"
                    name={name}
                    checked={dtype.value === type}
                    onChange={() => {
                      dtype.value = type;
                    }}
                  />{' '}
                  {type ?? 'in the file'}
                </label>
              </th>
              <td>{bytesText(bytes)}</td>
              <td title={largest.name}>{bytesText(largest.bytes)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p class="note">
        This device’s largest buffer: {bytesText(limit)}. How much memory is free, browsers do not say.
      </p>
      <button type="button" class="main" onClick={() => void loadPlanned()}>
        Load {title}
      </button>
    </fieldset>
  );
}
