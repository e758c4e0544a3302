import { Dialog, showDialog } from '@jupyterlab/apputils';
import { KernelSpec } from '@jupyterlab/services';
import { ReactElement, ReactNode, useId } from 'react';

import { ICapacity, INewCluster } from '../api/schema';
import { useEnvironment, View } from '../components/environment';
import { formatBytes } from '../format';
import { TestIds } from '../testids';
import { IEnvironment } from '../tokens';

/** What the dialog starts from. */
export interface IProposal {
  readonly kernels: readonly KernelSpec.ISpecModel[];
  /** The kernel of the active notebook. */
  readonly kernel: string;
  /** The path of the active notebook. */
  readonly path: string;
  /** What the machine allows, when the server tells. */
  readonly capacity: ICapacity | null;
}

/** Ask what a new cluster should be like; null when there should be none. */
export async function askForNewCluster(
  environment: IEnvironment,
  proposal: IProposal
): Promise<INewCluster | null> {
  const { trans } = environment;
  const { button, value } = await showDialog({
    title: trans.__('New cluster'),
    body: new Form(environment, proposal),
    buttons: [
      Dialog.cancelButton(),
      Dialog.okButton({ label: trans.__('Start') })
    ],
    focusNodeSelector: 'input'
  });
  return button.accept ? value : null;
}

/** What was filled in, as text: an empty field means that the server chooses. */
export interface IFields {
  readonly name: string;
  readonly workers: string;
  readonly threads: string;
  readonly memory: string;
  readonly kernel: string;
}

/** What to ask the server for. */
export function newCluster(fields: IFields, path: string): INewCluster {
  const { name, workers, threads, memory, kernel } = fields;
  return {
    ...(name.trim() && { name: name.trim() }),
    ...(workers && { n_workers: Number(workers) }),
    ...(threads && { threads_per_worker: Number(threads) }),
    ...(memory.trim() && { memory_limit: memory.trim() }),
    ...(kernel && { kernel_name: kernel }),
    ...(path && { path })
  };
}

class Form extends View implements Dialog.IBodyWidget<INewCluster> {
  constructor(
    environment: IEnvironment,
    private readonly proposal: IProposal
  ) {
    super(environment);
    this.addClass('nbc-NewCluster');
    this._fields = {
      name: '',
      workers: '',
      threads: '',
      memory: '',
      kernel: proposal.kernel
    };
  }

  getValue(): INewCluster {
    return newCluster(this._fields, this.proposal.path);
  }

  protected content(): ReactElement {
    return (
      <Fields
        proposal={this.proposal}
        onChange={change => {
          this._fields = { ...this._fields, ...change };
        }}
      />
    );
  }

  private _fields: IFields;
}

function Fields(props: {
  readonly proposal: IProposal;
  readonly onChange: (change: Partial<IFields>) => void;
}): ReactElement {
  const { trans } = useEnvironment();
  const { proposal, onChange } = props;
  const { kernels, kernel, path, capacity } = proposal;
  const automatic = trans.__('automatic');
  return (
    <>
      <Input
        label={trans.__('Name')}
        testId={TestIds.newName}
        placeholder={automatic}
        onChange={name => {
          onChange({ name });
        }}
      />
      <Input
        label={trans.__('Workers')}
        testId={TestIds.newWorkers}
        placeholder={automatic}
        least={0}
        hint={
          capacity &&
          trans.__(
            'At most %1: %2',
            capacity.workers.value,
            capacity.workers.reason
          )
        }
        onChange={workers => {
          onChange({ workers });
        }}
      />
      <Input
        label={trans.__('Threads per worker')}
        testId={TestIds.newThreads}
        placeholder={automatic}
        least={1}
        hint={
          capacity &&
          trans.__(
            '%1 processors: %2',
            capacity.cpus.value,
            capacity.cpus.reason
          )
        }
        onChange={threads => {
          onChange({ threads });
        }}
      />
      <Input
        label={trans.__('Memory per worker')}
        testId={TestIds.newMemory}
        placeholder={trans.__('automatic, or for example 2 GiB')}
        hint={
          capacity &&
          trans.__(
            '%1 in all: %2',
            formatBytes(capacity.memory.value),
            capacity.memory.reason
          )
        }
        onChange={memory => {
          onChange({ memory });
        }}
      />
      <Field
        label={trans.__('Runs with')}
        hint={path && trans.__('In the folder of %1', path)}
      >
        {id => (
          <select
            id={id}
            data-testid={TestIds.newKernel}
            defaultValue={kernel}
            onChange={event => {
              onChange({ kernel: event.target.value });
            }}
          >
            <option value="">{trans.__("The Jupyter server's Python")}</option>
            {kernels.map(({ name, display_name: label }) => (
              <option key={name} value={name}>
                {label}
              </option>
            ))}
          </select>
        )}
      </Field>
    </>
  );
}

/** A field of text, or of a whole number where there is a `least` one. */
function Input(props: {
  readonly label: string;
  readonly testId: string;
  readonly placeholder: string;
  readonly least?: number;
  readonly hint?: string | null;
  readonly onChange: (value: string) => void;
}): ReactElement {
  const { label, testId, placeholder, least, hint, onChange } = props;
  return (
    <Field label={label} hint={hint ?? null}>
      {id => (
        <input
          id={id}
          type={least === undefined ? 'text' : 'number'}
          min={least}
          placeholder={placeholder}
          data-testid={testId}
          onChange={event => {
            onChange(event.target.value);
          }}
        />
      )}
    </Field>
  );
}

function Field(props: {
  readonly label: string;
  readonly hint: string | null;
  readonly children: (id: string) => ReactNode;
}): ReactElement {
  const id = useId();
  return (
    <div className="nbc-Field">
      <label htmlFor={id}>{props.label}</label>
      {props.children(id)}
      {props.hint && <p className="nbc-Hint">{props.hint}</p>}
    </div>
  );
}
