"""Translates the client library's errors into errors of the port."""

import aiokafka.errors as kafka

from broker.port import BrokerError, BrokerUnavailable, CommitFailed, RecordTooLarge, UnknownTopic

FENCED = (
    kafka.ProducerFenced,
    kafka.InvalidProducerEpoch,
    kafka.InvalidProducerIdMapping,
    kafka.InvalidTxnState,
    kafka.OutOfOrderSequenceNumber,
)
"""The errors after which a producer is of no use: another one has its transactional id, or the transaction is lost."""

_FORBIDDEN = (
    kafka.TopicAuthorizationFailedError,
    kafka.GroupAuthorizationFailedError,
    kafka.ClusterAuthorizationFailedError,
    kafka.TransactionalIdAuthorizationFailed,
)
_LARGE = (kafka.MessageSizeTooLargeError, kafka.RecordListTooLargeError)


def broker_error(error: BaseException, doing: str) -> BrokerError:
    """Return the port's error for one of the library's; the message has `doing`, such as "writing to topic events"."""
    if isinstance(error, BrokerError):
        return error
    if isinstance(error, _LARGE):
        return RecordTooLarge(
            f"a record is over the limit of its topic in Kafka ({doing}): raise the topic's max.message.bytes"
        )
    if isinstance(error, FENCED):
        return CommitFailed(f"another member has taken the partition over ({doing})")
    if isinstance(error, kafka.UnknownTopicOrPartitionError):
        return UnknownTopic(f"a topic does not exist in Kafka ({doing}): create the topics first")
    if isinstance(error, _FORBIDDEN):
        return BrokerError(f"the Kafka brokers do not allow this user to continue ({doing}: {type(error).__name__})")
    if isinstance(error, kafka.AuthenticationFailedError | kafka.SaslAuthenticationFailed):
        return BrokerError("the Kafka brokers refuse user name or password: check both")
    reason = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
    return BrokerUnavailable(f"Kafka cannot be reached or written now ({doing}: {reason})")
