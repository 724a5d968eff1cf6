/* An NVML of made-up cards, so that what the program does with GPUs is tested on machines that have none.
 *
 * The file that SWEEP_FAKE_CARDS names has a line for each card, read anew at each look:
 *   index uuid used_mib total_mib degrees percent [pid:mib ...]
 * A line whose uuid begins with MIG- is an instance of the card before it. The name of a card is "Fake GPU <index>". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, MOST = 16 };

typedef struct { unsigned pid; unsigned long long mib; } Process;
typedef struct {
    unsigned index, degrees, percent, processes, instances;
    int is_instance;
    unsigned long long used, total;
    char uuid[96];
    Process process[MOST];
} Card;
typedef Card *Device;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } Memory;
typedef struct { unsigned gpu, memory; } Rates;
typedef struct { unsigned pid; unsigned long long bytes; unsigned gpu_instance, compute_instance; } ProcessInfo;

static Card cards[MOST];
static unsigned count;

static void look(void) {
    const char *path = getenv("SWEEP_FAKE_CARDS");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[1024];
    Card *whole = NULL;
    count = 0;
    while (file && count < MOST && fgets(line, sizeof line, file)) {
        Card *card = &cards[count];
        int read = 0;
        memset(card, 0, sizeof *card);
        if (sscanf(line, "%u %95s %llu %llu %u %u%n", &card->index, card->uuid, &card->used, &card->total,
                   &card->degrees, &card->percent, &read) < 6)
            continue;
        char *rest = line + read;
        while (card->processes < MOST) {
            Process *process = &card->process[card->processes];
            if (sscanf(rest, " %u:%llu%n", &process->pid, &process->mib, &read) < 2) break;
            rest += read;
            card->processes++;
        }
        card->is_instance = strncmp(card->uuid, "MIG-", 4) == 0;
        if (card->is_instance && whole) whole->instances++;
        else whole = card;
        count++;
    }
    if (file) fclose(file);
}

int nvmlInit_v2(void) { return getenv("SWEEP_FAKE_CARDS") ? SUCCESS : 9; }
int nvmlShutdown(void) { return SUCCESS; }

int nvmlDeviceGetCount_v2(unsigned *found) {
    look();
    *found = 0;
    for (unsigned i = 0; i < count; i++) *found += !cards[i].is_instance;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device *device) {
    for (unsigned i = 0; i < count; i++)
        if (!cards[i].is_instance && index-- == 0) return *device = &cards[i], SUCCESS;
    return INVALID;
}

int nvmlDeviceGetUUID(Device device, char *text, unsigned length) {
    return snprintf(text, length, "%s", device->uuid), SUCCESS;
}

int nvmlDeviceGetName(Device device, char *text, unsigned length) {
    return snprintf(text, length, "Fake GPU %u", device->index), SUCCESS;
}

int nvmlDeviceGetMemoryInfo_v2(Device device, Memory *memory) {
    memory->total = device->total << 20;
    memory->used = device->used << 20;
    memory->free = memory->total - memory->used;
    return memory->reserved = 0, SUCCESS;
}

int nvmlDeviceGetTemperature(Device device, int sensor, unsigned *degrees) {
    (void)sensor;
    return device->is_instance ? NOT_SUPPORTED : (*degrees = device->degrees, SUCCESS);
}

int nvmlDeviceGetUtilizationRates(Device device, Rates *rates) {
    rates->gpu = device->percent;
    return rates->memory = 0, SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(Device device, unsigned *room, ProcessInfo *infos) {
    unsigned has = *room;
    *room = device->processes;
    if (has < device->processes || !infos) return device->processes ? TOO_SMALL : SUCCESS;
    for (unsigned i = 0; i < device->processes; i++)
        infos[i] = (ProcessInfo){device->process[i].pid, device->process[i].mib << 20, 0, 0};
    return SUCCESS;
}

int nvmlDeviceGetMigMode(Device device, unsigned *current, unsigned *pending) {
    if (device->is_instance) return NOT_SUPPORTED;
    return *current = *pending = device->instances > 0, SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(Device device, unsigned *most) {
    (void)device;
    return *most = 7, SUCCESS; /* how many there may be, not how many there are */
}

int nvmlDeviceGetMigDeviceHandleByIndex(Device device, unsigned index, Device *instance) {
    return index < device->instances ? (*instance = device + 1 + index, SUCCESS) : NOT_FOUND;
}
