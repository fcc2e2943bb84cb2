/* The models of the library have as many parameters as the published ones: the last line of the
 * table that `nnc summary` prints. Nothing is computed.
 *
 * Published: VGG, ResNet, MobileNetV2, EfficientNet and ViT in torchvision's table of models
 * (its ViT-B/16 and timm's agree), GPT-2 and BERT by the weights that their authors gave out
 * (Hugging Face counts 124,439,808 and 109,482,240), DCGAN and the VAE by the layers of
 * PyTorch's examples, UNet by implementations in PyTorch with transposed convolutions and norms,
 * three channels and two classes (31,037,698). LeNet, NCF, two towers, Seq2Seq, the LSTMs and
 * WaveNet have no one size in print: their numbers are sums over the layers that the papers
 * describe. */
#include <criterion/criterion.h>
#include <nnc/nnc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *file, *names, *model, *x, *loss;
    long parameters;
} Row;

#define IMAGES "rand(2, 3, 64, 64, seed=1)"
#define TOKENS "randint(0, 100, 2, 8, seed=1)"
#define NUMBERS "randint(0, 100, 2, seed=1)"
#define CLASSES "cross_entropy(model(x), y)"
#define FIRST "cross_entropy(model(x)[:, 0], y)"

static const Row rows[] = {
    {"mlp", "MLP", "MLP(784, 10, [128])", "rand(2, 784, seed=1)", CLASSES, 101770},
    {"lenet", "LeNet", "LeNet()", "rand(2, 1, 28, 28, seed=1)", CLASSES, 61706},
    {"vgg", "VGG11", "VGG11()", IMAGES, CLASSES, 132863336},
    {"vgg", "VGG16", "VGG16()", IMAGES, CLASSES, 138357544},
    {"resnet", "ResNet18", "ResNet18()", IMAGES, CLASSES, 11689512},
    {"resnet", "ResNet34", "ResNet34()", IMAGES, CLASSES, 21797672},
    {"resnet", "ResNet50", "ResNet50()", IMAGES, CLASSES, 25557032},
    {"resnet", "ResNet101", "ResNet101()", IMAGES, CLASSES, 44549160},
    {"mobilenet", "MobileNetV2", "MobileNetV2()", IMAGES, CLASSES, 3504872},
    {"efficientnet", "EfficientNetB0", "EfficientNetB0()", IMAGES, CLASSES, 5288548},
    {"unet", "UNet", "UNet()", IMAGES, "cross_entropy(model(x)[:, :, 0, 0], y)", 31037698},
    {"gpt2", "GPT2", "GPT2()", TOKENS, FIRST, 124439808},
    {"gpt2", "GPT2", "GPT2(C=1024, L=24, H=16)", TOKENS, FIRST, 354823168},
    {"bert", "BERT", "BERT()", TOKENS, "cross_entropy(second(model(x)), y)", 109482240},
    {"bert", "BERTClassifier", "BERTClassifier(2)", TOKENS,
     "cross_entropy(model(x, present=x > 3), y)", 109483778},
    {"vit", "ViT", "ViT()", "rand(2, 3, 224, 224, seed=1)", CLASSES, 86567656},
    {"dcgan", "Generator", "Generator()", "rand(2, 100, seed=1)",
     "mse(model(x)[:, 0, 0, 0], f32(y))", 3576704},
    {"dcgan", "Discriminator", "Discriminator()", IMAGES, "bce_with_logits(model(x), f32(y))",
     2765568},
    {"vae", "VAE, vae_loss", "VAE()", "rand(2, 784, seed=1)", "vae_loss(model(x), x)", 652824},
    {"ncf", "NCF", "NCF(1000, 500)", NUMBERS, "bce_with_logits(model(x, y), f32(y))",
     1500 * 40 + 2761},
    {"two_tower", "TwoTower, in_batch_loss", "TwoTower(1000, 500)", NUMBERS,
     "in_batch_loss(model(x, y))", 1500 * 32 + 2 * 4192},
    {"seq2seq", "Seq2Seq", "Seq2Seq(100)", TOKENS, "cross_entropy(model(x, x[:, ..5])[:, 0], y)",
     44140544 + 200 * 512 + 51300},
    {"lstm", "LSTMLanguageModel", "LSTMLanguageModel(10000, C=200, H=200, L=2)", TOKENS, FIRST,
     4653200},
    {"lstm", "LSTMClassifier", "LSTMClassifier(100, 2)", TOKENS,
     "cross_entropy(model(x, lengths=x[:, 0] % 8 + 1), y)", 12800 + 264192 + 514},
    {"wavenet", "WaveNet", "WaveNet()", TOKENS, FIRST, 1263168},
};

static long total_of(const char *table)
{
    const char *line = strstr(table, "\ntotal ");
    long total = 0;
    for (line = line ? line + 7 : ""; *line && *line != '\n'; line++)
        if (*line >= '0' && *line <= '9')
            total = 10 * total + (*line - '0');
    return total;
}

static void check_row(const Row *row)
{
    char text[1024], *table = NULL;
    nnc_context *context = NULL;
    nnc_program *program = NULL;
    snprintf(text, sizeof text,
             "from models.%s import %s\nfrom losses import cross_entropy, mse, "
             "bce_with_logits\nfrom optim import sgd\n"
             "fn second(pair) {\n let a, b = pair\n b\n}\n"
             "dataset d { source = arrays(x=%s, y=randint(0, 2, 2, seed=2)) }\n"
             "train t on d {\n model = %s\n loss = %s\n optimizer = sgd(lr=0.1)\n batch = 2\n}\n",
             row->file, row->names, row->x, row->model, row->loss);
    cr_assert_eq(nnc_context_new(NULL, &context), NNC_OK);
    nnc_status status = nnc_program_parse(context, "model.nn", text, NULL, &program);
    cr_assert_eq(status, NNC_OK, "%s: %s", row->model, nnc_diagnostics(context, NNC_TEXT));
    cr_assert_eq(nnc_program_text(program, NULL, "summary", &table), NNC_OK);
    cr_expect_eq(total_of(table), row->parameters, "%s has %ld parameters, published are %ld",
                 row->model, total_of(table), row->parameters);
    nnc_free(table);
    nnc_program_release(program);
    nnc_context_release(context);
}

Test(models, have_the_published_numbers_of_parameters)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_row(&rows[i]);
}
