import { KeyboardEvent, ReactElement, useId, useState } from 'react';

import { IClusterView } from '../api/schema';
import { CommandIDs } from '../commands/ids';
import { isReady } from '../model/figures';
import { TestIds } from '../testids';
import { useEnvironment } from './environment';
import { useDraft, useRun } from './hooks';

/** How many workers: by hand with a slider, or by the work there is. */
export function Scaling(props: {
  readonly cluster: IClusterView;
}): ReactElement {
  return (
    <div className="nbc-Scaling">
      <Scale cluster={props.cluster} />
      <Adapt cluster={props.cluster} />
    </div>
  );
}

function Scale(props: { readonly cluster: IClusterView }): ReactElement {
  const { trans } = useEnvironment();
  const run = useRun();
  const id = useId();
  const { cluster } = props;
  const wish = useDraft(cluster.requested, n =>
    run(CommandIDs.scale, { id: cluster.id, n })
  );
  const most = Math.max(cluster.capacity, cluster.requested);
  const title = cluster.adaptive
    ? trans.__('Choosing a number ends adapting')
    : trans.__('This machine can hold %1 workers', cluster.capacity);
  const shared = {
    min: 0,
    disabled: !isReady(cluster),
    title,
    onBlur: wish.finish,
    onKeyDown: onEnter(wish.flush),
    // Or the notebook's shortcuts take the slider's arrow keys.
    'data-lm-suppress-shortcuts': 'true'
  };
  return (
    <div className="nbc-Scale">
      <label className="nbc-Label" htmlFor={id}>
        {trans.__('Scale')}
      </label>
      <input
        {...shared}
        id={id}
        type="range"
        className="nbc-Slider"
        data-testid={TestIds.scaleSlider}
        max={most}
        value={wish.value}
        style={{ '--nbc-share': most > 0 ? wish.value / most : 0 } as object}
        aria-valuetext={trans._n('%1 worker', '%1 workers', wish.value)}
        onChange={event => {
          wish.set(event.target.valueAsNumber);
        }}
        onPointerUp={wish.flush}
      />
      <NumberInput
        {...shared}
        label={trans.__('Number of workers')}
        testId={TestIds.scaleInput}
        value={wish.value}
        onChange={wish.set}
      />
    </div>
  );
}

function Adapt(props: { readonly cluster: IClusterView }): ReactElement {
  const { trans } = useEnvironment();
  const run = useRun();
  const { cluster } = props;
  const adaptive = cluster.adaptive;
  const adapting = adaptive !== null;
  // What the limits would be if adapting were switched on now.
  const [proposed, propose] = useState<ILimits | null>(null);
  const limits = useDraft<ILimits>(
    adaptive ?? proposed ?? { minimum: 0, maximum: cluster.capacity },
    async wish => {
      propose(limitsOf(wish));
      if (adapting) {
        await run(CommandIDs.adapt, { id: cluster.id, ...limitsOf(wish) });
      }
    },
    isSensible
  );
  const toggle = () => {
    void (adapting
      ? run(CommandIDs.stopAdapting, { id: cluster.id })
      : run(CommandIDs.adapt, { id: cluster.id, ...limitsOf(limits.value) }));
  };
  const sensible = isSensible(limits.value);
  const problem = sensible
    ? ''
    : trans.__('The first number must not be above the second.');
  const shared = {
    min: 0,
    disabled: !isReady(cluster),
    invalid: !sensible,
    title: problem,
    onBlur: limits.finish,
    onKeyDown: onEnter(limits.flush)
  };
  return (
    <>
      <div className="nbc-Adapt">
        <button
          className="nbc-Switch"
          role="switch"
          aria-checked={adapting}
          data-testid={TestIds.adaptSwitch}
          disabled={!isReady(cluster) || (!adapting && !sensible)}
          title={trans.__('Let the number of workers follow the work')}
          onClick={toggle}
        >
          <span className="nbc-Switch-track" aria-hidden="true" />
          {trans.__('Adapt')}
        </button>
        <span className="nbc-Adapt-limits">
          <NumberInput
            {...shared}
            label={trans.__('Fewest workers')}
            testId={TestIds.adaptMinimum}
            value={limits.value.minimum}
            onChange={minimum => {
              limits.set({ ...limits.value, minimum });
            }}
          />
          <span aria-hidden="true">{trans.__('to')}</span>
          <NumberInput
            {...shared}
            label={trans.__('Most workers')}
            testId={TestIds.adaptMaximum}
            value={limits.value.maximum ?? cluster.capacity}
            onChange={maximum => {
              limits.set({ ...limits.value, maximum });
            }}
          />
        </span>
      </div>
      {/* Takes no room: nothing may move away under a click that ends typing. */}
      <span className="nbc-OnlyHeard" role="alert">
        {problem}
      </span>
      {adaptive?.reason && (
        <p className="nbc-Hint" data-testid={TestIds.adaptReason}>
          {adaptive.reason}
        </p>
      )}
    </>
  );
}

interface ILimits {
  readonly minimum: number;
  readonly maximum: number | null;
}

function limitsOf({ minimum, maximum }: ILimits): ILimits {
  return { minimum, maximum };
}

function isSensible({ minimum, maximum }: ILimits): boolean {
  return maximum === null || minimum <= maximum;
}

function NumberInput(props: {
  readonly label: string;
  readonly testId: string;
  readonly value: number;
  readonly min: number;
  readonly disabled: boolean;
  readonly invalid?: boolean;
  readonly title?: string;
  readonly onChange: (value: number) => void;
  readonly onBlur: () => void;
  readonly onKeyDown: (event: KeyboardEvent) => void;
}): ReactElement {
  const { label, testId, invalid, value, onChange, onBlur, ...rest } = props;
  // What is being typed need not be a number yet: an empty field, say.
  const [typed, setTyped] = useState<string | null>(null);
  return (
    <input
      {...rest}
      type="number"
      className="nbc-Number"
      aria-label={label}
      aria-invalid={invalid ?? false}
      data-testid={testId}
      value={typed ?? value}
      onChange={event => {
        setTyped(event.target.value);
        const number = event.target.valueAsNumber;
        if (Number.isInteger(number) && number >= 0) {
          onChange(number);
        }
      }}
      onBlur={() => {
        setTyped(null);
        onBlur();
      }}
    />
  );
}

function onEnter(act: () => void): (event: KeyboardEvent) => void {
  return event => {
    if (event.key === 'Enter') {
      act();
    }
  };
}
