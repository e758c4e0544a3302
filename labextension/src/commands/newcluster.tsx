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
  }

  getValue(): INewCluster {
    const value = (testId: string) =>
      this.node.querySelector<HTMLInputElement | HTMLSelectElement>(
        `[data-testid=${testId}]`
      )?.value ?? '';
    return newCluster(
      {
        name: value(TestIds.newName),
        workers: value(TestIds.newWorkers),
        threads: value(TestIds.newThreads),
        memory: value(TestIds.newMemory),
        kernel: value(TestIds.newKernel)
      },
      this.proposal.path
    );
  }

  protected content(): ReactElement {
    return <Fields proposal={this.proposal} />;
  }
}

function Fields(props: { readonly proposal: IProposal }): ReactElement {
  const { trans } = useEnvironment();
  const { kernels, kernel, path, capacity } = props.proposal;
  const automatic = trans.__('automatic');
  return (
    <>
      <Field label={trans.__('Name')}>
        {id => (
          <input
            id={id}
            data-testid={TestIds.newName}
            placeholder={automatic}
          />
        )}
      </Field>
      <Field
        label={trans.__('Workers')}
        hint={
          capacity &&
          trans.__(
            'At most %1: %2',
            capacity.workers.value,
            capacity.workers.reason
          )
        }
      >
        {id => (
          <input
            id={id}
            type="number"
            min={0}
            data-testid={TestIds.newWorkers}
            placeholder={automatic}
          />
        )}
      </Field>
      <Field
        label={trans.__('Threads per worker')}
        hint={
          capacity &&
          trans.__(
            '%1 processors: %2',
            capacity.cpus.value,
            capacity.cpus.reason
          )
        }
      >
        {id => (
          <input
            id={id}
            type="number"
            min={1}
            data-testid={TestIds.newThreads}
            placeholder={automatic}
          />
        )}
      </Field>
      <Field
        label={trans.__('Memory per worker')}
        hint={
          capacity &&
          trans.__(
            '%1 in all: %2',
            formatBytes(capacity.memory.value),
            capacity.memory.reason
          )
        }
      >
        {id => (
          <input
            id={id}
            data-testid={TestIds.newMemory}
            placeholder={trans.__('automatic, or for example 2 GiB')}
          />
        )}
      </Field>
      <Field
        label={trans.__('Runs with')}
        hint={path && trans.__('In the folder of %1', path)}
      >
        {id => (
          <select id={id} data-testid={TestIds.newKernel} defaultValue={kernel}>
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

function Field(props: {
  readonly label: string;
  readonly hint?: string | null;
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
