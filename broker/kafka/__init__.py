"""The log on Apache Kafka (3.3 or newer; tested with 4.1): the make for many ingresses and many processors.

What the client library does not promise is kept here, and only here (`aiokafka` is imported nowhere else):

- Group members write through one transactional producer per partition of theirs. Its transactional id names group,
  topic and partition, so that starting it fences whoever held the partition before: `send_offsets_to_transaction` sends
  neither member nor generation, the group alone would fence nobody.
- A partition is taken over in one order: delivery held back, producer started, committed offset asked for, seek,
  deliver.
- Every send is awaited before the commit, which would otherwise succeed without it; after a failed send the producer is
  replaced, since its sequence numbers no longer fit.
- Whatever waits for a broker gives up when the brokers are known to be out of reach; a probe finds out.
"""

from broker.kafka.broker import KafkaBroker, open_kafka
from broker.kafka.config import KafkaConfig, KafkaSettings
from broker.kafka.restore import Restorer
from broker.kafka.topics import TopicState

__all__ = ["KafkaBroker", "KafkaConfig", "KafkaSettings", "Restorer", "TopicState", "open_kafka"]
