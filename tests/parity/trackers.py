#!/usr/bin/env python3
"""Says what TensorBoard and MLflow read of exported sweeps, for tests/program/trackers.rs: trackers.py FOLDER

FOLDER holds tb-micro, tb-odd and ml. Needs: pip install tensorboard mlflow-skinny. Exit code 77: these are not there.
"""
import json
import sys
from pathlib import Path

try:
    from mlflow.tracking import MlflowClient
    from tensorboard import context
    from tensorboard.backend.event_processing import data_provider, event_accumulator, plugin_event_multiplexer
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups
except ImportError as missing:
    sys.exit(print(f"SWEEP_PYTHON has no tensorboard or no mlflow ({missing})", file=sys.stderr) or 77)

home = Path(sys.argv[1])


def id_of(folder):
    file, = Path(folder).glob("events.out.tfevents.*")
    return file.name.rsplit(".", 1)[1]


def scalars(logdir):
    """As the SCALARS tab has them."""
    for folder in sorted({file.parent for file in logdir.rglob("events*")} - {logdir}):
        events = event_accumulator.EventAccumulator(str(folder), {event_accumulator.SCALARS: 0}).Reload()
        yield dict(id=id_of(folder), tags=events.Tags()["scalars"], steps=[event.step for event in events.Scalars("train/loss")]
                   if "train/loss" in events.Tags()["scalars"] else [])


def hparams(logdir):
    """As the HPARAMS tab has them."""
    multiplexer = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(str(logdir)).Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(logdir))
    backend = backend_context.Context(base_plugin.TBContext(data_provider=provider, multiplexer=multiplexer))
    request = context.RequestContext()
    experiment = backend.experiment_from_metadata(request, "", True, backend.hparams_metadata(request, ""), [])
    asked = api_pb2.ListSessionGroupsRequest(allowed_statuses=[0, 1, 2, 3], start_index=0, slice_size=100)
    for metric in experiment.metric_infos:
        asked.col_params.add().metric.CopyFrom(metric.name)
    answer = list_session_groups.Handler(request, backend, "", asked).run()
    for group in answer.session_groups:
        session, = group.sessions
        score = [metric.value for metric in session.metric_values if metric.name.tag == "score"]
        yield dict(id=id_of(logdir / session.name), mode=group.hparams["mode"].string_value, status=session.status,
                   score=score[0] if score else None)


def runs(client, experiment):
    for run in client.search_runs([experiment.experiment_id]):
        history = client.get_metric_history(run.info.run_id, "train/loss")
        yield dict(id=run.data.tags["sweep.id"], mode=run.data.params["mode"], status=run.info.status,
                   score=run.data.metrics.get("score"), history=[point.value for point in history],
                   artifacts=[file.path for file in client.list_artifacts(run.info.run_id)])


client = MlflowClient((home / "ml").as_uri())
json.dump(dict(
    scalars=[*scalars(home / "tb-micro"), *scalars(home / "tb-odd")],
    hparams=list(hparams(home / "tb-micro")),
    mlflow={experiment.name: list(runs(client, experiment)) for experiment in client.search_experiments()},
), sys.stdout)
