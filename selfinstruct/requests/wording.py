"""Wording of the prompts in English and Korean: labels of the parts, and the briefs.

The structure of the prompts follows the two papers; the sentences are pacos' own. Every byte here
is part of a request's key: an edit makes runs buy their replies again, and breaks the golden runs.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wording:
    """The text of one language around the tasks in a prompt."""

    instruction: str
    """Label of the instruction of a task."""
    input: str
    """Label of the input."""
    output: str
    """Label of the output."""
    no_input: str
    """Placeholder for the input of a task that has none."""
    task: str
    """Label of the instruction in a request for instances."""
    example: str
    """Label of a numbered instance."""
    label: str
    """Label of a class label."""
    is_classification: str
    """Question after each instruction in the second step."""
    yes: str
    """Answer for a classification task."""
    no: str
    """Answer for any other task."""
    collection: str
    """Opening of a text of whole tasks that is to be continued."""
    brief: str
    """Request to a chat model for `{count}` whole tasks."""
    examples: str
    """Introduction of the example tasks in a chat message."""
    blocks: str
    """Request for tasks `{first}` to `{last}` in the form of the examples."""
    instructions: str
    """Opening of a list of instructions."""
    more_instructions: str
    """Request to a chat model for items `{first}` to `{last}` of the list."""
    classify: str
    """Opening of the examples of classification and other tasks."""
    output_first: str
    """Opening of the examples of instances that start with the label."""
    input_first: str
    """Opening of the examples of instances of other tasks."""
    as_json: str
    """Request for a reply in JSON, like `{form}`."""
    system: str
    """System message of conversations that a small chat model continues."""


EN = Wording(
    instruction="Instruction",
    input="Input",
    output="Output",
    no_input="none",
    task="Task",
    example="Example",
    label="Class label",
    is_classification="Is it classification?",
    yes="Yes",
    no="No",
    collection=(
        "A collection of things that people asked an assistant to do. No two are about the same "
        "matter or have the same shape. Each has an instruction, the input it works on where there "
        "is one, and the assistant's short, correct and finished output."
    ),
    brief="""\
You write training material for an assistant that works with text. Write {count} new tasks that \
people could bring to it, each with the answer that a careful expert would give.

The set as a whole:
- Every task is about a different matter, and its instruction begins with a different word.
- Mix the kinds: explain, write, rewrite, sort into classes, pull facts out, plan, compare, advise, \
calculate, reason step by step, write or mend code, talk with somebody who needs an ear.
- Mix the shapes: questions, orders and requests; plain ones and demanding ones; half of the tasks \
with an input at most.

Each task:
- The instruction is one or two sentences in English and can be followed with text alone: nothing \
to look at, listen to, open, send or look up.
- The input is what the instruction works on: concrete and realistic, never a placeholder, at most \
100 words. A task that needs none has the input "none".
- The output does exactly what is asked. It is correct, complete and in most cases below 100 words.""",
    examples="Examples of tasks from the collection:",
    blocks=(
        "Go on with tasks {first} to {last} in the same form: a line of three number signs before "
        "each, then the numbered parts."
    ),
    instructions=(
        "A list of tasks that people brought to an assistant that works with text. They differ "
        "in subject, in kind and in shape:"
    ),
    more_instructions=(
        "Go on with items {first} to {last} of this list, one instruction an item, in English. "
        "Each is about something that is not in the list yet, and can be done with text alone."
    ),
    classify=(
        "Some tasks ask to choose from a few given or well-known labels; these are classification. "
        "All others are not."
    ),
    output_first=(
        "For a classification task, write instances: first a class label, then an input to which "
        "exactly this label belongs. Use each label of the task. Where the task says all that is "
        "needed, the label alone will do."
    ),
    input_first=(
        "For a task, write instances: an input where the task needs one, and the right output. "
        "Write several different ones where that makes sense, at most five. A task that needs no "
        "input has the output alone."
    ),
    as_json="Answer with one JSON object of this form and nothing else: {form}",
    system="You are a helpful assistant. You answer each request in a few sentences.",
)

KO = Wording(
    instruction="지시",
    input="입력",
    output="출력",
    no_input="없음",
    task="과제",
    example="예시",
    label="분류 이름",
    is_classification="분류 과제인가?",
    yes="예",
    no="아니요",
    collection=(
        "사람들이 비서에게 부탁한 일을 모은 글이다. 다루는 일도 묻는 방식도 모두 다르다. 각 항목에는 "
        "지시와, 필요하면 그 일에 쓸 입력, 그리고 짧고 정확하게 끝맺은 출력이 있다."
    ),
    brief="""\
글로 일하는 비서를 가르칠 자료를 만들어 주세요. 한국에 사는 사람이 실제로 맡길 만한 새 과제 {count}개를, \
꼼꼼한 전문가가 썼을 법한 답과 함께 쓰면 됩니다.

전체 구성:
- 과제마다 다루는 일이 다르고, 지시문의 첫 낱말도 서로 다릅니다.
- 종류를 섞습니다: 설명, 글쓰기, 고쳐쓰기, 분류, 정보 찾아내기, 계획, 비교, 조언, 계산, 단계별 추론, \
코드 작성과 수정, 마음을 들어 주는 대화.
- 모양을 섞습니다: 질문, 명령, 부탁, 존댓말과 반말, 쉬운 것과 까다로운 것. 입력이 있는 과제는 절반을 \
넘지 않습니다.

과제 하나하나:
- 지시는 자연스러운 한국어 한두 문장이며, 글만으로 해낼 수 있어야 합니다. 보거나 듣거나 열거나 보내거나 \
검색해야 하는 일은 안 됩니다.
- 입력은 지시가 다룰 자료입니다. 빈칸이나 견본이 아니라 구체적이고 있을 법한 내용으로, 100단어를 넘지 \
않게 씁니다. 필요 없으면 입력은 "없음"입니다.
- 출력은 지시한 일을 정확히 끝까지 하며, 사실과 계산이 맞고, 대체로 100단어 안쪽입니다.
- 번역한 듯한 말투를 피하고 한국의 생활과 제도, 단위에 맞춥니다.""",
    examples="모아 둔 과제의 예:",
    blocks=(
        "같은 형식으로 과제 {first}번부터 {last}번까지 이어서 쓰세요. 과제마다 앞에 ### 한 줄을 두고, "
        "번호를 붙인 항목을 차례로 씁니다."
    ),
    instructions="사람들이 글로 일하는 비서에게 맡긴 과제의 목록이다. 주제도 종류도 말투도 서로 다르다:",
    more_instructions=(
        "이 목록의 {first}번부터 {last}번까지를 이어서 쓰세요. 한 항목에 지시문 하나씩, 한국어로 씁니다. "
        "목록에 없는 새로운 일이어야 하고, 글만으로 해낼 수 있어야 합니다."
    ),
    classify=(
        "정해진 몇 가지 이름 가운데 하나를 고르게 하는 과제는 분류 과제이고, 나머지는 분류 과제가 아니다."
    ),
    output_first=(
        "분류 과제의 사례를 쓴다. 먼저 분류 이름을 쓰고, 꼭 그 이름에 해당하는 입력을 이어서 쓴다. 과제에 "
        "나오는 이름을 빠짐없이 쓴다. 과제만으로 충분하면 분류 이름만 써도 된다."
    ),
    input_first=(
        "과제의 사례를 쓴다. 입력이 필요하면 입력을 쓰고, 이어서 올바른 출력을 쓴다. 여러 가지가 있을 수 "
        "있으면 서로 다른 사례를 다섯 개까지 쓴다. 입력이 필요 없는 과제는 출력만 쓴다."
    ),
    as_json="다른 말 없이 이런 꼴의 JSON 객체 하나로만 답하세요: {form}",
    system="당신은 친절한 비서입니다. 부탁받은 일에 몇 문장으로 답합니다.",
)

WORDINGS = {"en": EN, "ko": KO}
"""By language code (ISO 639-1)."""
