"""
Anthropic's Messages API, to and from the neutral conversation.

``request_in`` and ``request_out`` have the fields of a request, ``turns`` its messages, ``parts`` and ``blocks`` what a
message is made of, ``thinking`` and ``models`` the rules that differ between generations of models; ``answer``,
``finishes`` and ``usage`` have whole answers, ``stream_in`` and ``stream_out`` streamed ones.
"""
