"""The error tree. Each error has a stable ``code`` and says whether trying again can help.

::

    ProsaError
    ├── Refused                     a person or program asked for what cannot be done
    │   ├── BadFrame                bad_frame          a frame that is no JSON object
    │   ├── BadRequest              bad_request        an unknown type, a missing or ill-typed field
    │   ├── BadText                 bad_text           empty, U+0000, or no valid Unicode
    │   ├── TextTooLong             text_too_long
    │   ├── BadId                   bad_id             no UUID
    │   ├── BadName                 bad_username
    │   ├── BadPassword             bad_password       too short or too long
    │   ├── UnknownModel            unknown_model
    │   ├── IdConflict              id_conflict        a known id with other content
    │   ├── NotFound                not_found          unknown, or not yours: never told apart
    │   ├── NotSignedIn             not_signed_in
    │   ├── WrongPassword           wrong_password
    │   ├── SignUpClosed            sign_up_closed
    │   ├── NameTaken               username_taken
    │   ├── NotAllowed              not_allowed
    │   ├── ForbiddenOrigin         forbidden_origin
    │   ├── NotEnded                not_ended          what needs a finished reply met a running one
    │   ├── OneProcess              one_process        the worker that cannot be asked to leave
    │   ├── TooManyWaiting          too_many_waiting
    │   └── RateLimited             rate_limited
    ├── Unavailable                 something Prosa needs is away; nothing was stored
    │   ├── StoreUnavailable        store_unavailable
    │   ├── StorageFull             storage_full
    │   ├── BusUnavailable          bus_unavailable
    │   └── Overloaded              overloaded
    ├── Failed                      a run ended without a whole reply; the code is shown to its user
    │   ├── EngineFailed            a model engine's failure
    │   │   ├── ModelUnreachable    model_unreachable
    │   │   ├── ModelTimeout        model_timeout
    │   │   ├── ModelOverloaded     model_overloaded
    │   │   ├── ModelRefused        model_refused      credentials, quota, or a rejected request
    │   │   ├── ModelBroke          model_broke        rubbish, or a stream that stopped half-way
    │   │   ├── PromptTooLong       prompt_too_long
    │   │   └── ModelMissing        model_missing      no model file, or no such model configured
    │   ├── NoWorker                no_worker          nobody took the run in time
    │   ├── RunTimeout              timeout            the run's own deadline
    │   ├── WorkerLost              worker_lost        too many workers died on it
    │   └── InternalFailure         internal
    ├── BackupRefused               a backup cannot be made or restored as it was asked; nothing was changed
    │   ├── BackupDamaged           backup_damaged     incomplete, or not the bytes that were written
    │   ├── BackupUnknown           backup_unknown     no backup, or one of a newer version
    │   ├── BackupExists            backup_exists      the file is there already
    │   └── StoreNotEmpty           store_not_empty    the database to restore into holds something
    └── SetupError                  the operator must change something before Prosa can start
        ├── BadConfig               bad_config
        ├── DataFolderInUse         data_folder_in_use
        ├── DataFolderUnusable      data_folder_unusable
        ├── PortTaken               port_taken
        ├── StoreRefused            store_refused      the database answers, and does not let us in
        ├── BrokerRefused           broker_refused     the same of the broker
        ├── BrokerMismatch          broker_mismatch    a queue or exchange declared with other arguments
        ├── SchemaOutdated          schema_outdated    missing, older or newer than this version's
        └── ModelFileMissing        model_file_missing
"""

from typing import ClassVar


class ProsaError(Exception):
    """The root: ``code`` is stable and read by programs, the message is read by people."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Refused(ProsaError):
    """The request cannot be done as it is."""


class BadFrame(Refused):
    code = "bad_frame"


class BadRequest(Refused):
    code = "bad_request"


class BadText(Refused):
    code = "bad_text"


class TextTooLong(Refused):
    code = "text_too_long"


class BadId(Refused):
    code = "bad_id"


class BadName(Refused):
    code = "bad_username"


class BadPassword(Refused):
    code = "bad_password"


class UnknownModel(Refused):
    code = "unknown_model"


class IdConflict(Refused):
    code = "id_conflict"


class NotFound(Refused):
    code = "not_found"


class NotSignedIn(Refused):
    code = "not_signed_in"


class WrongPassword(Refused):
    code = "wrong_password"


class SignUpClosed(Refused):
    code = "sign_up_closed"


class NameTaken(Refused):
    code = "username_taken"


class NotAllowed(Refused):
    code = "not_allowed"


class ForbiddenOrigin(Refused):
    code = "forbidden_origin"


class NotEnded(Refused):
    code = "not_ended"
    retryable = True


class OneProcess(Refused):
    code = "one_process"


class TooManyWaiting(Refused):
    code = "too_many_waiting"
    retryable = True


class RateLimited(Refused):
    """``retry_after`` is in seconds."""

    code = "rate_limited"
    retryable = True

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(ProsaError):
    """Something Prosa needs is away. Nothing of the request was stored."""

    retryable = True


class StoreUnavailable(Unavailable):
    code = "store_unavailable"


class StorageFull(Unavailable):
    code = "storage_full"


class BusUnavailable(Unavailable):
    code = "bus_unavailable"


class Overloaded(Unavailable):
    code = "overloaded"


class Failed(ProsaError):
    """A run ended without a whole reply."""


class EngineFailed(Failed):
    """A model engine's failure, mapped from what its provider said."""


class ModelUnreachable(EngineFailed):
    code = "model_unreachable"
    retryable = True


class ModelTimeout(EngineFailed):
    code = "model_timeout"
    retryable = True


class ModelOverloaded(EngineFailed):
    code = "model_overloaded"
    retryable = True


class ModelRefused(EngineFailed):
    code = "model_refused"


class ModelBroke(EngineFailed):
    code = "model_broke"
    retryable = True


class PromptTooLong(EngineFailed):
    code = "prompt_too_long"


class ModelMissing(EngineFailed):
    code = "model_missing"


class NoWorker(Failed):
    code = "no_worker"
    retryable = True


class RunTimeout(Failed):
    code = "timeout"
    retryable = True


class WorkerLost(Failed):
    code = "worker_lost"
    retryable = True


class InternalFailure(Failed):
    code = "internal"
    retryable = True


class BackupRefused(ProsaError):
    """A backup cannot be made or restored as it was asked. Neither the file nor the database was changed."""


class BackupDamaged(BackupRefused):
    code = "backup_damaged"


class BackupUnknown(BackupRefused):
    code = "backup_unknown"


class BackupExists(BackupRefused):
    code = "backup_exists"


class StoreNotEmpty(BackupRefused):
    code = "store_not_empty"


class SetupError(ProsaError):
    """The operator must change something before Prosa can start."""


class BadConfig(SetupError):
    code = "bad_config"


class DataFolderInUse(SetupError):
    code = "data_folder_in_use"


class DataFolderUnusable(SetupError):
    code = "data_folder_unusable"


class PortTaken(SetupError):
    code = "port_taken"


class StoreRefused(SetupError):
    code = "store_refused"


class BrokerRefused(SetupError):
    code = "broker_refused"


class BrokerMismatch(SetupError):
    code = "broker_mismatch"


class SchemaOutdated(SetupError):
    code = "schema_outdated"


class ModelFileMissing(SetupError):
    code = "model_file_missing"
